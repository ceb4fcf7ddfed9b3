//! A simulated fleet as a source of live data.

use super::Settings;
use super::fleet::Fleet;
use super::ground_truth::GroundTruth;
use super::live::{Arrived, Live};
use crate::error::Error;
use crate::pipeline::output::Output;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::time_grid::{Micros, now};
use crate::settings::Table;
use crate::source::{Context, Description, Made, Running, Source};
use std::time::Duration;

/// Sends what the devices report, when they do.
#[derive(Debug)]
pub struct Simulation {
    settings: Settings,
    fleet: Fleet,
    /// When its first round begins.
    since: Micros,
}

impl Simulation {
    /// Begins with the round that is under way.
    pub fn new(settings: Settings, context: &Context) -> Self {
        let grid = settings.scenario().grid;
        Simulation {
            fleet: settings.fleet(context.instance),
            since: grid.start(grid.round_of(now())),
            settings,
        }
    }
}

pub(super) fn make(table: &Table, context: &Context) -> Made {
    if context.instance.is_some() && !table.is_alone() {
        let problem = "several simulations would have the devices of one another with --instance-dir";
        return Err(table.mistake(problem, "keep one of them, or leave --instance-dir out"));
    }
    Ok(Box::new(Simulation::new(table.arguments()?, context)))
}

impl Source for Simulation {
    fn describe(&self) -> Description {
        super::describe(&self.fleet, self.settings.scenario().grid, self.since)
    }

    fn run(self: Box<Self>, out: Output, mut shutdown: Shutdown) -> Running {
        Box::pin(async move {
            let Simulation { settings, fleet, since } = *self;
            let scenario = settings.scenario();
            let ids = fleet.devices.iter().map(|device| &*device.id);
            let ground_truth = GroundTruth::new(settings.ground_truth.as_deref(), ids)?;
            let mut live = Live::new(scenario, &fleet, ground_truth, since);
            // What happens within a moment travels together.
            let together = (settings.interval / 20).clamp(Duration::from_millis(5), Duration::from_secs(1));
            while !shutdown.is_requested() {
                live.advance(now())?.hand_on(&out).await?;
                let wait = Duration::from_micros((live.next() - now()).max(0).unsigned_abs());
                shutdown.or_after(wait.max(together)).await;
            }
            live.end(now())?.hand_on(&out).await
        })
    }

    /// The world does not wait.
    fn acknowledges(&self) -> bool {
        false
    }
}

impl Arrived {
    async fn hand_on(self, out: &Output) -> Result<(), Error> {
        // Nobody could send it again.
        _ = out.send(self.batch).await?;
        out.observed(self.observed).await
    }
}
