//! The report of a device: its SQL declaration names the columns, and no others are computed. Declared with other columns the
//! function is another report, and SQL of an older version goes on with this library.

use kpi_core::catalogue::{Kpi, MadeOf};
use kpi_core::classes::Class;
use kpi_core::error::{KpiError, Result};
use kpi_core::report::SlotReport;
use kpi_core::response::ResponseSketch;

use crate::fmgr::sql_function;
use crate::reports::dossier::Submitted;
use crate::reports::rows::{Cell, Rows};

/// A column of the report.
enum Column {
    /// The number of the slot.
    Number,
    /// A KPI.
    Kpi(&'static Kpi),
    /// What else is told of a slot.
    Told(Told),
}

/// What is told of a slot that is no KPI, or a KPI together with others only.
type Told = fn(&SlotReport<'_>) -> Result<Cell>;

const TOLD: [(&str, Told); 14] = [
    ("slot_start", |s| Ok(Cell::instant(Some(s.window().start)))),
    ("slot_end", |s| Ok(Cell::instant(Some(s.window().end)))),
    ("status_up_time", |s| Ok(Cell::interval(s.status_times().up))),
    ("status_down_time", |s| Ok(Cell::interval(s.status_times().down))),
    ("status_unknown_time", |s| Ok(Cell::interval(s.status_times().unknown))),
    ("class_at_end", |s| Ok(Cell::text(s.class_at_end().as_str()))),
    // What the SQL of version 0.2.0 asks for: it works with this library until the extension is updated.
    ("live", |s| Ok(Cell::boolean(s.live()))),
    ("required", |s| Ok(Cell::boolean(s.class_at_end() != Class::Excluded))),
    ("satisfied", |s| Ok(Cell::maybe_count(s.apdex()?.map(|a| a.satisfied)))),
    ("tolerating", |s| {
        Ok(Cell::maybe_count(s.apdex()?.map(|a| a.tolerating)))
    }),
    ("communications", |s| Ok(Cell::maybe_count(s.apdex()?.map(|a| a.total)))),
    ("bytes", |s| Ok(Cell::float(s.bytes()))),
    ("messages", |s| Ok(Cell::count(s.messages()))),
    ("responses", |s| {
        s.responses()
            .map_or_else(|| Cell::state(&ResponseSketch::default()), Cell::state)
    }),
];

impl Column {
    fn named(name: &str) -> Result<Self> {
        if name == "slot" {
            return Ok(Self::Number);
        }
        if let Some((_, told)) = TOLD.iter().find(|told| told.0 == name) {
            return Ok(Self::Told(*told));
        }
        Kpi::named(name).map(Self::Kpi).map_err(|_| {
            KpiError::parameter(
                format!("the report of a device has no column \"{name}\""),
                "Run ALTER EXTENSION pg_iot_kpi UPDATE: library and SQL are of different versions.",
            )
        })
    }

    fn cell(&self, number: usize, slot: &SlotReport<'_>) -> Result<Cell> {
        match self {
            Self::Number => Ok(Cell::slot(number)),
            Self::Kpi(kpi) => kpi.figure(slot).map(Cell::figure),
            Self::Told(tell) => tell(slot),
        }
    }

    fn asks_communication(&self) -> bool {
        matches!(self, Self::Kpi(kpi) if kpi.made_of == MadeOf::Communication)
    }
}

// A row a slot.
sql_function!(iot_kpi_device_report, |call| {
    let submitted = Submitted::read(call.required(0)?)?;
    let mut rows = Rows::begin(call);
    let columns: Vec<Column> = rows
        .columns()
        .iter()
        .map(|name| Column::named(name))
        .collect::<Result<_>>()?;
    if columns.iter().any(Column::asks_communication) {
        push_report(&mut rows, &columns, submitted.counted_slots()?)?;
    } else {
        push_report(&mut rows, &columns, submitted.slots())?;
    }
    Ok(None)
});

fn push_report<'a>(rows: &mut Rows<'_>, columns: &[Column], slots: impl Iterator<Item = SlotReport<'a>>) -> Result<()> {
    for (number, slot) in slots.enumerate() {
        let cells = columns.iter().map(|column| column.cell(number, &slot));
        rows.push(cells.collect::<Result<Vec<_>>>()?);
    }
    Ok(())
}
