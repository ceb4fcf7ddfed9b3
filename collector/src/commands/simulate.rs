//! `simulate`: live data until it is told to stop.

use crate::batch::Batch;
use crate::counters::Counters;
use crate::courier::Courier;
use crate::database::Target;
use crate::error::Error;
use crate::http;
use crate::link::Link;
use crate::live::Live;
use crate::settings::{Settings, Simulate};
use crate::simulator::Simulator;
use crate::spool::Spool;
use crate::stop::Stop;
use crate::store::{self, Registration};
use crate::ticks::{Micros, now};
use crate::truth::Truth;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches between the simulation and the courier; a courier busy with one try takes them when it is done.
const INBOX: usize = 256;

pub(crate) async fn run(settings: &Settings, wanted: &Simulate) -> Result<(), Error> {
    let stop = Stop::on_signals()?;
    let common = &settings.common;
    let (scenario, fleet) = (common.scenario(), common.fleet());
    let target = Target::from_settings(settings)?;
    let counters = Arc::new(Counters::default());
    let pages = match wanted.metrics_listen {
        Some(address) => Some(http::listen(address, wanted.metrics_public).await?),
        None => None,
    };
    let mut spool = Spool::open(&spool_folder(settings, wanted, &target)?, wanted.spool_max)?;
    let truth = Truth::new(common.truth.as_deref(), fleet.devices.iter().map(|d| &*d.id))?;
    let live = Live::new(scenario, Simulator::new(scenario, &fleet), truth, now());
    let registration = Registration {
        fleet: fleet.clone(),
        interval: common.interval,
        since: waiting_since(&mut spool)?.unwrap_or(Micros::MAX).min(live.since()),
        overwrite: false,
    };
    let mut link = Link::new(target.clone(), registration, common, counters.clone());
    match link.open().await {
        Ok(()) => tracing::info!(database = target.name(), devices = fleet.devices.len(), "simulating"),
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "simulating; data wait in the spool until it answers")
        }
        Err(error) => return Err(error),
    }

    let mut helpers = tokio::task::JoinSet::new();
    if let Some(listener) = pages {
        helpers.spawn(http::serve(listener, counters.clone()));
    }
    if !wanted.calculate_every.is_zero() {
        helpers.spawn(calculate(target, wanted.calculate_every, live.since()));
    }
    let (sender, inbox) = mpsc::channel(INBOX);
    let courier = Courier::new(link, spool, common, counters.clone());
    let courier = tokio::spawn(courier.run(inbox, stop.clone(), wanted.grace));
    simulate(live, stop, sender, common.interval, common.rows(), &counters).await?;
    courier.await.map_err(|_| Error::Ended("courier"))?;
    tracing::info!(
        samples = counters.produced.load(Relaxed),
        stored = counters.stored.load(Relaxed),
        duplicates = counters.duplicates.load(Relaxed),
        refused = counters.refused.load(Relaxed),
        lost = counters.lost.load(Relaxed),
        spooled = counters.spool_batches.load(Relaxed),
        "ended"
    );
    Ok(())
}

/// The earliest time of the data an earlier run has left; the devices were there by then.
fn waiting_since(spool: &mut Spool) -> Result<Option<Micros>, Error> {
    let oldest = spool.oldest(1)?;
    Ok(oldest.and_then(|(_, batch)| batch.span()).map(|(first, _)| first))
}

/// Hands on what happens until an end is asked for, then what is in hand.
async fn simulate(
    mut live: Live,
    mut stop: Stop,
    sender: mpsc::Sender<Batch>,
    interval: Duration,
    rows: usize,
    counters: &Counters,
) -> Result<(), Error> {
    // What happens within a moment travels together.
    let together = (interval / 20).clamp(Duration::from_millis(5), Duration::from_secs(1));
    while !stop.is_asked() {
        hand_on(live.advance(now())?, &sender, rows, counters).await?;
        let wait = Duration::from_micros((live.next() - now()).max(0).unsigned_abs());
        stop.or_after(wait.max(together)).await;
    }
    hand_on(live.end(now())?, &sender, rows, counters).await
}

async fn hand_on(batch: Batch, sender: &mpsc::Sender<Batch>, rows: usize, counters: &Counters) -> Result<(), Error> {
    counters.produced.fetch_add(batch.len() as u64, Relaxed);
    for part in batch.split(rows) {
        sender.send(part).await.map_err(|_| Error::Ended("courier"))?;
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
            Ok(client) => store::calculate(&client, from.div_euclid(HOUR) * HOUR - HOUR, to).await,
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

/// A folder for this collector and this database: what waits for one must never reach another.
fn spool_folder(settings: &Settings, wanted: &Simulate, target: &Target) -> Result<PathBuf, Error> {
    if let Some(folder) = &wanted.spool_dir {
        return Ok(folder.clone());
    }
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let state = state.ok_or_else(|| {
        Error::setting(
            "--spool-dir",
            "is not given, and there is no home folder to put the spool into",
            "name a folder",
        )
    })?;
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "_");
    let name = format!("{}-{}", plain(&settings.common.collector_id), plain(target.name()));
    Ok(state.join("iot-kpi-collector").join(name))
}
