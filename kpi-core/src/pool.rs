//! A group of devices in slots: what their KPIs are told from, put together device by device. Counts and times add up,
//! sketches merge, and sums of floats are exact, so that the order of devices changes no bit. No percentile is ever averaged.

use crate::catalogue::{Figure, Kpi, Told};
use crate::classes::{Class, ClassTimes};
use crate::error::{KpiError, Result};
use crate::exact_sum::ExactSum;
use crate::interrupts::interruptible;
use crate::memory;
use crate::outages::Availability;
use crate::report::SlotReport;
use crate::response::{ApdexCounts, ResponseSketch};
use crate::time::Duration;

/// How many devices are in which class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Classes {
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) unknown: u64,
}

impl Classes {
    fn add(&mut self, class: Class) {
        match class {
            Class::Up => self.up += 1,
            Class::Down => self.down += 1,
            Class::Unknown => self.unknown += 1,
            Class::Excluded => {}
        }
    }

    /// Of those that can be judged, the share that is up.
    pub(crate) fn share_up(&self) -> Option<f64> {
        let judged = self.up + self.down;
        (judged > 0).then(|| self.up as f64 / judged as f64)
    }
}

/// Communications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    pub(crate) all: u64,
    pub(crate) failed: u64,
}

/// The mean of what is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mean {
    sum: ExactSum,
    known: u64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum.add(value);
            self.known += 1;
        }
    }

    pub(crate) fn value(&self) -> Option<f64> {
        let sum = self.sum.value().filter(|_| self.known > 0)?;
        Some(sum / self.known as f64)
    }
}

/// The sum of rates, where each device that was required has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    sum: ExactSum,
    known: u64,
    is_missing: bool,
}

impl Rate {
    fn add(&mut self, value: Option<f64>, was_required: bool) {
        match value {
            Some(value) => {
                self.sum.add(value);
                self.known += 1;
            }
            None => self.is_missing |= was_required,
        }
    }

    pub(crate) fn value(&self) -> Option<f64> {
        self.sum.value().filter(|_| self.known > 0 && !self.is_missing)
    }
}

/// What is put together of one slot.
#[derive(Debug, Clone)]
pub(crate) enum Ingredient {
    Outages(Availability),
    Status(ClassTimes),
    Classes(Classes),
    Mean {
        of: fn(&SlotReport<'_>) -> Option<f64>,
        mean: Mean,
    },
    Sum {
        of: fn(&SlotReport<'_>) -> u64,
        sum: u64,
    },
    Rate {
        of: fn(&SlotReport<'_>) -> Option<f64>,
        rate: Rate,
    },
    // Few KPIs ask for it, and it is much larger than all others.
    Responses(Box<ResponseSketch>),
    Apdex(ApdexCounts),
    Attempts(Attempts),
}

/// Which ingredient a KPI is told from. Those that several can share are the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind(Told);

impl Kind {
    pub(crate) fn of(kpi: &Kpi) -> Self {
        Self(kpi.told)
    }

    /// Whether what is put together for one serves the other.
    fn serves(self, other: Self) -> bool {
        let is_counted = |told| matches!(told, Told::Classes(_) | Told::Live);
        match (self.0, other.0) {
            (Told::Outages(_), Told::Outages(_))
            | (Told::Status(_), Told::Status(_))
            | (Told::Responses(_), Told::Responses(_))
            | (Told::Apdex(_), Told::Apdex(_))
            | (Told::Attempts(_), Told::Attempts(_)) => true,
            (one, other) => is_counted(one) && is_counted(other),
        }
    }
}

impl Ingredient {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind.0 {
            Told::Outages(_) => Self::Outages(Availability::default()),
            Told::Status(_) => Self::Status(ClassTimes::default()),
            Told::Classes(_) | Told::Live => Self::Classes(Classes::default()),
            Told::Mean(of) => Self::Mean {
                of,
                mean: Mean::default(),
            },
            Told::Sum(of) => Self::Sum { of, sum: 0 },
            Told::Rate(of) => Self::Rate {
                of,
                rate: Rate::default(),
            },
            Told::Responses(_) => Self::Responses(Box::default()),
            Told::Apdex(_) => Self::Apdex(ApdexCounts::default()),
            Told::Attempts(_) => Self::Attempts(Attempts::default()),
        }
    }

    /// Adds a device; where its class at the end is not given, it is that of the slot's end.
    pub(crate) fn add(&mut self, slot: &SlotReport<'_>, class: Option<Class>) -> Result<()> {
        match self {
            Self::Outages(sum) => {
                let one = slot.heartbeats();
                add_times(&mut sum.times, &one.times)?;
                sum.failures += one.failures;
                sum.longest_outage = sum.longest_outage.max(one.longest_outage);
            }
            Self::Status(sum) => add_times(sum, slot.status_times())?,
            Self::Classes(count) => count.add(class.unwrap_or_else(|| slot.class_at_end())),
            Self::Mean { of, mean } => mean.add(of(slot)),
            Self::Sum { of, sum } => *sum += of(slot),
            Self::Rate { of, rate } => rate.add(of(slot), slot.heartbeats().times.required() > 0),
            Self::Responses(all) => {
                if let Some(responses) = slot.responses() {
                    all.merge(responses)?;
                }
            }
            Self::Apdex(sum) => {
                let one = slot.apdex()?.unwrap_or_default();
                sum.satisfied += one.satisfied;
                sum.tolerating += one.tolerating;
                sum.total += one.total;
            }
            Self::Attempts(sum) => {
                sum.all += slot.attempts();
                sum.failed += slot.failed();
            }
        }
        Ok(())
    }

    /// Bytes in use beyond the structure itself.
    fn heap_size(&self) -> usize {
        match self {
            Self::Mean { mean, .. } => mean.sum.heap_size(),
            Self::Rate { rate, .. } => rate.sum.heap_size(),
            Self::Responses(all) => size_of::<ResponseSketch>() + all.heap_size(),
            _ => 0,
        }
    }
}

fn add_times(sum: &mut ClassTimes, one: &ClassTimes) -> Result<()> {
    let add = |a: Duration, b: Duration| {
        a.checked_add(b).ok_or_else(|| {
            KpiError::number(
                "the times of a group add up to more than an interval holds",
                "Ask for a shorter window, or for fewer devices in a group.",
            )
        })
    };
    *sum = ClassTimes {
        up: add(sum.up, one.up)?,
        down: add(sum.down, one.down)?,
        unknown: add(sum.unknown, one.unknown)?,
        excluded: add(sum.excluded, one.excluded)?,
    };
    // So that what is made of several of them is in range too.
    let together = [sum.up, sum.down, sum.unknown, sum.excluded];
    together.iter().try_fold(0, |total, time| add(total, *time)).map(drop)
}

/// A group of devices: some KPIs of it, in slots.
#[derive(Debug)]
pub struct Pool {
    kpis: Vec<&'static Kpi>,
    /// Of each KPI, which of a slot's ingredients it is told from.
    told_from: Vec<usize>,
    /// One slot after the other.
    ingredients: Vec<Ingredient>,
    /// How many a slot has.
    width: usize,
}

impl Pool {
    /// A group without devices, in so many slots; one where no slot has begun.
    pub fn new(kpis: Vec<&'static Kpi>, slots: usize) -> Result<Self> {
        let mut kinds: Vec<Kind> = Vec::new();
        let told_from = kpis.iter().map(|kpi| {
            let kind = Kind::of(kpi);
            kinds.iter().position(|known| known.serves(kind)).unwrap_or_else(|| {
                kinds.push(kind);
                kinds.len() - 1
            })
        });
        let told_from = told_from.collect();
        let (width, slots) = (kinds.len(), slots.max(1));
        let sketches = kinds.iter().filter(|kind| matches!(kind.0, Told::Responses(_))).count();
        memory::check(slots * (width * size_of::<Ingredient>() + sketches * size_of::<ResponseSketch>()))?;
        let one_slot: Vec<Ingredient> = kinds.into_iter().map(Ingredient::new).collect();
        Ok(Self {
            kpis,
            told_from,
            ingredients: one_slot.iter().cycle().take(slots * width).cloned().collect(),
            width,
        })
    }

    /// The KPIs that are asked for.
    pub fn kpis(&self) -> &[&'static Kpi] {
        &self.kpis
    }

    /// Adds a device, of whose slots none may be missing. Its class at the end is that of each slot's end, or the one given;
    /// of one without slots nothing else is known.
    pub fn add<'a>(
        &mut self,
        slots: impl ExactSizeIterator<Item = SlotReport<'a>>,
        class: Option<Class>,
    ) -> Result<()> {
        if slots.len() == 0 {
            self.add_class(class);
            return Ok(());
        }
        if slots.len() * self.width != self.ingredients.len() {
            return Err(KpiError::parameter(
                "dossiers that are pooled have different numbers of slots",
                "Pool devices that iot_kpi.evidence_of() gathered for the same edges.",
            ));
        }
        // With nothing asked for there is nothing to add.
        let ingredients = self.ingredients.chunks_mut(self.width.max(1));
        for (ingredients, slot) in interruptible(ingredients.zip(slots)) {
            for ingredient in ingredients {
                ingredient.add(&slot, class)?;
            }
        }
        Ok(())
    }

    fn add_class(&mut self, class: Option<Class>) {
        for ingredient in &mut self.ingredients {
            if let (Ingredient::Classes(count), Some(class)) = (ingredient, class) {
                count.add(class);
            }
        }
    }

    /// The KPIs of each slot, one slot after the other.
    pub fn figures(&self) -> impl Iterator<Item = Result<Figure>> {
        let slots = interruptible(self.ingredients.chunks(self.width.max(1)));
        slots.flat_map(|slot| {
            let told = self.kpis.iter().zip(&self.told_from);
            told.map(|(kpi, at)| kpi.pooled(&slot[*at]))
        })
    }

    /// Bytes in use beyond the structure itself.
    pub fn heap_size(&self) -> usize {
        let lists = size_of_val(&*self.ingredients) + size_of_val(&*self.kpis) + size_of_val(&*self.told_from);
        lists + self.ingredients.iter().map(Ingredient::heap_size).sum::<usize>()
    }
}
