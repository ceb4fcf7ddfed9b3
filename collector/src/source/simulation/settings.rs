//! What a simulation can be told: by flags of the commands that simulate, or in a table `[source.simulation]`.

use super::Scenario;
use super::fleet::Fleet;
use crate::runtime::time_grid::TimeGrid;
use crate::settings::values;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a simulation.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Simulation")]
pub struct Settings {
    /// How many devices: the five kinds in turn, numbered on
    #[arg(long, env = "IOT_KPI_DEVICES", default_value_t = 5, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub devices: u32,
    /// How many devices to leave out before the first, for those of another simulation
    #[arg(long, env = "IOT_KPI_SKIP_DEVICES", default_value_t = 0, value_name = "N",
          value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub skip_devices: u32,
    /// Time between two reports of a device
    #[arg(long, env = "COLLECTION_INTERVAL", value_parser = values::interval, default_value = "60s")]
    pub interval: Duration,
    /// Same seed, same data
    #[arg(long, env = "IOT_KPI_SEED", default_value_t = 42, value_name = "NUMBER")]
    pub seed: u64,
    /// How eventful the devices' lives are: 10 crowds ten times as many failures into the same time
    #[arg(long, env = "IOT_KPI_TROUBLE", value_parser = values::factor, default_value = "1", value_name = "FACTOR")]
    pub trouble: f64,
    /// Write what truly happened to this file, one JSON object a line
    #[arg(long, alias = "truth", env = "IOT_KPI_GROUND_TRUTH", value_name = "FILE")]
    pub ground_truth: Option<PathBuf>,
}

impl Settings {
    /// The devices; each of several collectors with the same settings has others.
    pub fn fleet(&self, instance: Option<u32>) -> Fleet {
        let before = instance.unwrap_or(0) as usize * self.devices as usize;
        Fleet::after(self.skip_devices as usize + before, self.devices as usize)
    }

    /// What shapes the data.
    pub fn scenario(&self) -> Scenario {
        Scenario {
            seed: self.seed,
            grid: TimeGrid::new(self.interval),
            trouble: self.trouble,
        }
    }
}
