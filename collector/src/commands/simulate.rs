//! `simulate`: live data until it is told to shutdown.

use crate::database::Target;
use crate::error::Error;
use crate::pipeline::batch::Batch;
use crate::pipeline::delivery::Delivery;
use crate::pipeline::spool::Spool;
use crate::runtime::http;
use crate::runtime::metrics::Metrics;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Tasks;
use crate::runtime::time_grid::{Micros, now};
use crate::settings::{Settings, Simulate, spool_folder};
use crate::sink::link::{Books, Link};
use crate::sink::registry::{self, Registration};
use crate::source::simulation::Simulator;
use crate::source::simulation::ground_truth::GroundTruth;
use crate::source::simulation::live::Live;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches between the simulation and the delivery; a delivery busy with one try takes them when it is done.
const INBOX: usize = 256;

pub(crate) async fn run(settings: &Settings, wanted: &Simulate) -> Result<(), Error> {
    let shutdown = Shutdown::on_signals()?;
    let common = &settings.common;
    let (scenario, fleet) = (common.scenario(), common.fleet());
    let target = Target::from_settings(settings)?;
    let metrics = Arc::new(Metrics::default());
    let pages = match wanted.metrics_listen {
        Some(address) => Some(http::listen(address, wanted.metrics_public).await?),
        None => None,
    };
    let folder = spool_folder(settings, wanted.spool_dir.as_deref(), &target)?;
    let mut spool = Spool::open(&folder, wanted.spool_max)?;
    match wanted.spool_adopt {
        true => spool.adopt(&target.id()),
        false => spool.belongs_to(&target.id())?,
    }
    let truth = GroundTruth::new(common.truth.as_deref(), fleet.devices.iter().map(|d| &*d.id))?;
    let live = Live::new(scenario, Simulator::new(scenario, &fleet), truth, now());
    let registration = Registration {
        fleet: fleet.clone(),
        interval: common.interval,
        since: waiting_since(&mut spool)?.unwrap_or(Micros::MAX).min(live.since()),
        overwrite: false,
    };
    let books = Books::new(settings, Some(&folder), metrics.clone());
    let mut link = Link::new(target.clone(), registration, common, books);
    match link.open(|database| spool.belongs_to(database)).await {
        Ok(()) => tracing::info!(database = target.name(), devices = fleet.devices.len(), "simulating"),
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "simulating; data wait in the spool until it answers")
        }
        Err(error) => return Err(error),
    }

    let mut parts = Tasks::new(metrics.clone(), shutdown.clone());
    if let Some(listener) = pages {
        parts.start("server of /metrics and /health", http::serve(listener, metrics.clone()));
    }
    if !wanted.calculate_every.is_zero() {
        parts.start(
            "calculation of KPIs",
            calculate(target, wanted.calculate_every, live.since()),
        );
    }
    let (sender, inbox) = mpsc::channel(INBOX);
    let delivery = Delivery::new(link, spool, common, metrics.clone());
    let delivery = tokio::spawn(delivery.run(inbox, shutdown.clone(), wanted.grace));
    let ended = parts
        .watch_over(simulate(
            live,
            shutdown,
            sender,
            common.interval,
            common.rows(),
            &metrics,
        ))
        .await;
    delivery.await.map_err(|_| Error::Ended("delivery"))?;
    tracing::info!(
        samples = metrics.produced.load(Relaxed),
        stored = metrics.stored.load(Relaxed),
        duplicates = metrics.duplicates.load(Relaxed),
        conflicts = metrics.conflicts.load(Relaxed),
        refused = metrics.refused.load(Relaxed),
        lost = metrics.lost.load(Relaxed),
        spooled = metrics.spool_batches.load(Relaxed),
        "ended"
    );
    ended
}

/// The earliest time of the data an earlier run has left; the devices were there by then.
fn waiting_since(spool: &mut Spool) -> Result<Option<Micros>, Error> {
    let oldest = spool.oldest(1)?;
    Ok(oldest.and_then(|waiting| waiting.batch.span()).map(|(first, _)| first))
}

/// Hands on what happens until an end is asked for, then what is in hand.
async fn simulate(
    mut live: Live,
    mut shutdown: Shutdown,
    sender: mpsc::Sender<Batch>,
    interval: Duration,
    rows: usize,
    metrics: &Metrics,
) -> Result<(), Error> {
    // What happens within a moment travels together.
    let together = (interval / 20).clamp(Duration::from_millis(5), Duration::from_secs(1));
    while !shutdown.is_requested() {
        hand_on(live.advance(now())?, &sender, rows, metrics).await?;
        let wait = Duration::from_micros((live.next() - now()).max(0).unsigned_abs());
        shutdown.or_after(wait.max(together)).await;
    }
    hand_on(live.end(now())?, &sender, rows, metrics).await
}

async fn hand_on(batch: Batch, sender: &mpsc::Sender<Batch>, rows: usize, metrics: &Metrics) -> Result<(), Error> {
    metrics.produced.fetch_add(batch.len() as u64, Relaxed);
    for part in batch.split(rows) {
        sender.send(part).await.map_err(|_| Error::Ended("delivery"))?;
    }
    Ok(())
}

/// Has KPIs calculated again and again, each time from the hour before the time before; misses are made up for.
async fn calculate(target: Target, every: Duration, since: Micros) {
    const HOUR: Micros = 3_600_000_000;
    let mut from = since;
    loop {
        tokio::time::sleep(every).await;
        let to = now();
        let calculated = match target.connect().await {
            Ok(client) => registry::calculate(&client, from.div_euclid(HOUR) * HOUR - HOUR, to).await,
            Err(error) => Err(error),
        };
        match calculated {
            Ok(count) => {
                tracing::info!(count, "KPIs calculated");
                from = to;
            }
            Err(error) => tracing::warn!(%error, "KPIs were not calculated; trying again next time"),
        }
    }
}
