//! `backfill`: the history up to now, and its KPIs.

use super::run::heartbeats;
use crate::database::Target;
use crate::error::Error;
use crate::pipeline::output::Output;
use crate::pipeline::replay::Replay;
use crate::runtime::metrics::Metrics;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::time_grid::{now, text};
use crate::settings::{Backfill, Settings, spool_folder};
use crate::sink::recorder::Recorder;
use crate::sink::registry::{self, Registration};
use crate::sink::writers::Writers;
use crate::source::Source;
use crate::source::simulation::ground_truth::GroundTruth;
use crate::source::simulation::history::{History, Past};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Without a bar, how often to say how far it is.
const BETWEEN_LINES: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(crate) async fn run(settings: &Settings, wanted: &Backfill) -> Result<(), Error> {
    let mut shutdown = Shutdown::on_signals()?;
    let common = &settings.common;
    let simulation = &wanted.simulation;
    let (scenario, fleet) = (simulation.scenario(), simulation.fleet(None));
    let until = wanted.until.unwrap_or_else(now);
    let span = i64::try_from(wanted.span.as_micros()).unwrap_or(i64::MAX);
    let history = History::before(scenario, until, span, common.rows());
    let (from, to) = (scenario.grid.start(history.first), scenario.grid.start(history.end));
    if from == to {
        let problem = format!("{:?} holds no whole interval of {:?}", wanted.span, simulation.interval);
        return Err(Error::setting(
            "--span",
            problem,
            "make it longer, or --interval shorter",
        ));
    }
    let metrics = Arc::new(Metrics::default());
    let target = Target::from_settings(settings)?;
    let devices = fleet.devices.len();
    let ground_truth = GroundTruth::new(simulation.ground_truth.as_deref(), fleet.devices.iter().map(|d| &*d.id))?;
    let source = Past::new(history, fleet, ground_truth);
    let (made, all) = source.progress();
    let described = vec![source.describe()];
    let heartbeats = heartbeats(&common.collector_id, &described);
    let registration = Registration::new(common.collector_id.as_str().into(), described);
    // History can be made again, and does without a spool; where its folder would be, refused rows are kept.
    let folder = spool_folder(settings, None, &target).ok();
    let recorder = Recorder::new(settings, folder.as_deref(), metrics.clone());
    let mut writers = Writers::new(target.clone(), registration, common, recorder);
    writers.open_all_within(common.wait, &mut shutdown).await?;

    // To connect and to register the devices is not what its speed is told of.
    let began = Instant::now();
    tracing::info!(from = text(from), to = text(to), devices, "writing history");
    let progress = Progress::new(all);
    let (mut outputs, messages) = Output::channel([source.acknowledges()], common.rows(), &metrics);
    let output = outputs.pop().ok_or(Error::Ended("pipeline"))?;
    let making = tokio::spawn(Box::new(source).run(output, shutdown.clone()));
    let replay = Replay::new(writers, heartbeats, common.rows(), shutdown.clone());
    let replay = progress.shown(&made, replay.run(messages)).await;
    let written = making.await.unwrap_or(Err(Error::Ended("simulation")));
    progress.end();
    let complete = match (replay, shutdown.is_requested()) {
        (Ok(()), stopped) => {
            written?;
            !stopped
        }
        // What kept it from ending does not matter any more.
        (Err(error), true) if error.is_passing() => false,
        (Err(error), _) => return Err(error),
    };
    report(&metrics, devices, began, complete);
    if complete && !wanted.no_calculate {
        calculate(&target, from, to).await;
    }
    Ok(())
}

fn report(metrics: &Metrics, devices: usize, began: Instant, complete: bool) {
    let (rows, seconds) = (metrics.produced.get(), began.elapsed().as_secs_f64());
    tracing::info!(
        devices,
        rows,
        stored = metrics.stored.get(),
        duplicates = metrics.duplicates.get(),
        conflicts = metrics.conflicts.get(),
        refused = metrics.refused.get(),
        seconds = format!("{seconds:.1}"),
        rows_per_second = format!("{:.0}", rows as f64 / seconds),
        "{}",
        if complete {
            "history written"
        } else {
            "stopped before the end; the same command goes on from there"
        }
    );
}

/// KPIs can be had without calculations, only slower: a failure here is no failure of the command.
async fn calculate(target: &Target, from: i64, to: i64) {
    let calculated = match target.connect().await {
        Ok(client) => registry::calculate(&client, from, to).await,
        Err(error) => Err(error),
    };
    match calculated {
        Ok(count) => tracing::info!(count, "KPIs calculated"),
        Err(error) => tracing::warn!(%error, "KPIs were not calculated; SELECT iot_kpi.calculate_kpis(…) does it"),
    }
}

/// A bar where somebody looks, a line now and then where nobody does.
struct Progress {
    bar: Option<ProgressBar>,
    all: u64,
    said: Cell<Instant>,
}

impl Progress {
    fn new(all: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {percent:>3}% {pos}/{len} reports, {eta} to go");
            ProgressBar::new(all).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Progress {
            bar,
            all,
            said: Cell::new(Instant::now()),
        }
    }

    fn at(&self, reports: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(reports),
            None if self.said.get().elapsed() >= BETWEEN_LINES => {
                self.said.set(Instant::now());
                tracing::info!("{} % written", reports * 100 / self.all.max(1));
            }
            None => {}
        }
    }

    /// Shows how far it is while it goes on.
    async fn shown<T>(&self, made: &AtomicU64, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(BETWEEN_LOOKS) => self.at(made.load(Relaxed)),
            }
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
