//! `simulate`: simulated devices, live, until it is told to stop.

use super::live;
use crate::error::Error;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::time_grid::now;
use crate::settings::{Settings, Simulate};
use crate::source::Source;
use crate::source::simulation::ground_truth::GroundTruth;
use crate::source::simulation::live::Live;

pub(crate) async fn run(settings: &Settings, wanted: &Simulate) -> Result<(), Error> {
    let shutdown = Shutdown::on_signals()?;
    let (common, fleet) = (&settings.common, settings.common.fleet());
    let ground_truth = GroundTruth::new(common.truth.as_deref(), fleet.devices.iter().map(|d| &*d.id))?;
    let source: Box<dyn Source> = Box::new(Live::new(common.scenario(), fleet, ground_truth, now()));
    live::run(settings, wanted, vec![source], shutdown).await
}
