//! `backfill`: the history up to now, and its KPIs.

use crate::database::Target;
use crate::error::Error;
use crate::pipeline::batch::Batch;
use crate::runtime::metrics::Metrics;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::time_grid::{now, text};
use crate::settings::{Backfill, Settings, spool_folder};
use crate::sink::lanes::Lanes;
use crate::sink::link::{Books, Link};
use crate::sink::registry::{self, Registration};
use crate::source::simulation::Simulator;
use crate::source::simulation::fleet::Fleet;
use crate::source::simulation::ground_truth::GroundTruth;
use crate::source::simulation::history::History;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Batches that are made ahead of the one being written.
const AHEAD: usize = 4;
/// Without a bar, how often to say how far it is.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

pub(crate) async fn run(settings: &Settings, wanted: &Backfill) -> Result<(), Error> {
    let mut shutdown = Shutdown::on_signals()?;
    let common = &settings.common;
    let (scenario, fleet) = (common.scenario(), common.fleet());
    let until = wanted.until.unwrap_or_else(now);
    let span = i64::try_from(wanted.span.as_micros()).unwrap_or(i64::MAX);
    let history = History::before(scenario, until, span, common.rows());
    let (from, to) = (scenario.grid.start(history.first), scenario.grid.start(history.end));
    if from == to {
        let problem = format!("{:?} holds no whole interval of {:?}", wanted.span, common.interval);
        return Err(Error::setting(
            "--span",
            problem,
            "make it longer, or --interval shorter",
        ));
    }
    let metrics = Arc::new(Metrics::default());
    let target = Target::from_settings(settings)?;
    let registration = Registration {
        fleet: fleet.clone(),
        interval: common.interval,
        since: from,
        overwrite: false,
    };
    // History can be made again, and does without a spool; where its folder would be, refused rows are kept.
    let folder = spool_folder(settings, None, &target).ok();
    let books = Books::new(settings, folder.as_deref(), metrics.clone());
    let mut link = Link::new(target.clone(), registration, common, books);
    link.open_within(common.wait, &mut shutdown).await?;

    let began = Instant::now();
    tracing::info!(
        from = text(from),
        to = text(to),
        devices = fleet.devices.len(),
        "writing history"
    );
    let truth = GroundTruth::new(common.truth.as_deref(), fleet.devices.iter().map(|d| &*d.id))?;
    let simulator = Simulator::new(scenario, &fleet);
    let progress = Progress::new(history.reports(&simulator));
    let (sender, mut batches) = mpsc::channel::<(Batch, u64)>(AHEAD);
    let maker = tokio::task::spawn_blocking(move || make(history, &simulator, truth, &sender));
    let mut lanes = Lanes::open(
        link,
        common.writers as usize,
        fleet.collector.clone(),
        common.retry_max,
        &shutdown,
    )
    .await;
    let mut complete = true;
    while let Some((batch, reports)) = batches.recv().await {
        metrics.produced.fetch_add(batch.len() as u64, Relaxed);
        if shutdown.is_requested() || !lanes.write(batch).await {
            complete = false;
            break;
        }
        progress.at(reports);
    }
    batches.close();
    drop(batches);
    complete &= lanes.end().await?;
    maker.await.map_err(|_| Error::Ended("simulator"))??;
    progress.end();
    report(&metrics, &fleet, began, complete);
    if complete && !wanted.no_calculate {
        calculate(&target, from, to).await;
    }
    Ok(())
}

fn make(
    history: History,
    simulator: &Simulator,
    truth: GroundTruth,
    sender: &mpsc::Sender<(Batch, u64)>,
) -> Result<(), Error> {
    history.make(simulator, truth, |batch, reports| {
        match sender.blocking_send((batch, reports)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })
}

fn report(metrics: &Metrics, fleet: &Fleet, began: Instant, complete: bool) {
    let (rows, seconds) = (metrics.produced.load(Relaxed), began.elapsed().as_secs_f64());
    tracing::info!(
        devices = fleet.devices.len(),
        rows,
        stored = metrics.stored.load(Relaxed),
        duplicates = metrics.duplicates.load(Relaxed),
        conflicts = metrics.conflicts.load(Relaxed),
        refused = metrics.refused.load(Relaxed),
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

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
