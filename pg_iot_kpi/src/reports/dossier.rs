//! A dossier as SQL hands it in: a row of the composite type `iot_kpi.dossier`.

use kpi_core::classes::Exemptions;
use kpi_core::error::{KpiError, Result};
use kpi_core::evidence::{Evidence, check_edges};
use kpi_core::report::{Around, DeviceSettings, Dossier, SlotReport};
use kpi_core::spans::Spans;
use kpi_core::status::StatusRules;
use kpi_core::time::{Instant, Window, check_instant};
use pgrx::pg_sys::{self, Datum};

use crate::datum;
use crate::ranges;

/// The attributes of the composite type, in its order. `sql/storage/evidence.sql` declares it.
#[derive(Clone, Copy)]
enum Attribute {
    Edges = 0,
    ExpectedInterval,
    Liveness,
    StatusTtl,
    DegradedCountsUp,
    ResponseTarget,
    Evidence,
    Statuses,
    Excluded,
    Unknown,
    BeatBefore,
    SeenUntil,
}

/// How many attributes are read.
const ATTRIBUTES: usize = Attribute::SeenUntil as usize + 1;
/// How many there were in version 0.2.0, whose SQL goes on with this library until it is updated.
const FORMER_ATTRIBUTES: usize = Attribute::Unknown as usize + 1;

/// A dossier and the slots it is asked about.
pub(crate) struct Submitted {
    /// What is known of the device.
    pub(crate) dossier: Dossier,
    edges: Vec<Instant>,
    /// Whether its communication was counted in these slots: where only beats are asked for, nobody counted any.
    is_counted: bool,
}

impl Submitted {
    /// Reads a row.
    pub(crate) fn read(row: Datum) -> Result<Self> {
        let row = Row::of(row)?;
        let edges = row
            .get(Attribute::Edges, |d| unsafe { datum::instants(d) })?
            .unwrap_or_default();
        if !edges.is_empty() {
            check_edges(&edges)?;
        }
        let evidence = row.get(Attribute::Evidence, |d| unsafe {
            datum::decode_to_answer::<Evidence>(d)
        })?;
        let duration = |at, name| row.get(at, |d| unsafe { datum::duration(name, d) });
        let interval = duration(Attribute::ExpectedInterval, "expected_interval")?;
        let interval = interval.ok_or_else(|| {
            KpiError::parameter(
                "expected_interval is NULL",
                "Set the device's expected_interval, such as '60 s'.",
            )
        })?;
        let settings = DeviceSettings::new(
            interval,
            duration(Attribute::Liveness, "liveness")?,
            row.get(Attribute::ResponseTarget, |d| Ok(f64::from_bits(d.value() as u64)))?,
            StatusRules {
                ttl: duration(Attribute::StatusTtl, "status_ttl")?,
                degraded_counts_up: row
                    .get(Attribute::DegradedCountsUp, |d| Ok(d.value() as u8 != 0))?
                    .unwrap_or(true),
            },
        )?;
        let spans = |at| {
            Ok(row
                .get(at, |d| unsafe { ranges::spans(d) })?
                .unwrap_or_else(Spans::empty))
        };
        let statuses = row.get(Attribute::Statuses, |d| unsafe { datum::decode_to_answer(d) })?;
        let exempt = Exemptions {
            excluded: spans(Attribute::Excluded)?,
            unknown: spans(Attribute::Unknown)?,
        };
        let is_counted = evidence.as_ref().is_none_or(|e| e.edges() == edges);
        let mut dossier = Dossier::new(evidence, statuses.unwrap_or_default(), exempt, settings)?;
        let instant = |at| row.get(at, |d| check_instant(d.value() as Instant));
        dossier.around = Around {
            beat_before: instant(Attribute::BeatBefore)?,
            seen_until: instant(Attribute::SeenUntil)?,
        };
        Ok(Self {
            dossier,
            edges,
            is_counted,
        })
    }

    /// The reports of the slots in order.
    pub(crate) fn slots(&self) -> impl ExactSizeIterator<Item = SlotReport<'_>> {
        let windows = self.edges.windows(2).map(|pair| Window {
            start: pair[0],
            end: pair[1],
        });
        windows
            .enumerate()
            .map(|(slot, window)| self.dossier.report(slot, window))
    }

    /// The same, where communication is asked for too.
    pub(crate) fn counted_slots(&self) -> Result<impl ExactSizeIterator<Item = SlotReport<'_>>> {
        if self.is_counted || self.edges.is_empty() {
            return Ok(self.slots());
        }
        Err(KpiError::parameter(
            "the evidence of a dossier was counted in other slots than it is asked for",
            "Gather it anew: iot_kpi.evidence_of() takes the edges of the slots.",
        ))
    }

    /// From the first to the last edge; none where the window has not begun.
    pub(crate) fn window(&self) -> Option<Window> {
        let (start, end) = (*self.edges.first()?, *self.edges.last()?);
        Some(Window { start, end })
    }
}

/// The attributes of a composite value.
struct Row {
    values: [Datum; ATTRIBUTES],
    nulls: [bool; ATTRIBUTES],
}

impl Row {
    fn of(row: Datum) -> Result<Self> {
        let mut found = Self {
            values: [Datum::from(0); ATTRIBUTES],
            nulls: [true; ATTRIBUTES],
        };
        // SAFETY: the function is declared to take a composite; its own header names its type. The arrays have as many elements
        // as are read into them. An error in between leaves the type's description pinned, as it does in PostgreSQL's own
        // functions: the transaction's end unpins it.
        unsafe {
            let header = pg_sys::pg_detoast_datum(row.cast_mut_ptr()).cast::<pg_sys::HeapTupleHeaderData>();
            let datum_fields = (*header).t_choice.t_datum;
            let columns = pg_sys::lookup_rowtype_tupdesc(datum_fields.datum_typeid, datum_fields.datum_typmod);
            let width = (*columns).natts as usize;
            let is_known = width == ATTRIBUTES || width == FORMER_ATTRIBUTES;
            if is_known {
                let mut tuple = pg_sys::HeapTupleData {
                    t_len: pgrx::varlena::varsize_4b(header.cast()) as u32,
                    t_data: header,
                    ..Default::default()
                };
                pg_sys::heap_deform_tuple(&mut tuple, columns, found.values.as_mut_ptr(), found.nulls.as_mut_ptr());
            }
            if (*columns).tdrefcount >= 0 {
                pg_sys::DecrTupleDescRefCount(columns);
            }
            if !is_known {
                return Err(KpiError::parameter(
                    format!("a dossier has {ATTRIBUTES} attributes, not {width}"),
                    "Run ALTER EXTENSION pg_iot_kpi UPDATE: library and SQL are of different versions.",
                ));
            }
        }
        Ok(found)
    }

    fn get<T>(&self, at: Attribute, read: impl FnOnce(Datum) -> Result<T>) -> Result<Option<T>> {
        let n = at as usize;
        if self.nulls[n] {
            Ok(None)
        } else {
            read(self.values[n]).map(Some)
        }
    }
}
