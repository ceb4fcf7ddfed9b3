//! `run`: sources at work, until an end is asked for; `simulate` has one that flags describe.

use crate::database::Target;
use crate::error::Error;
use crate::pipeline::delivery::Delivery;
use crate::pipeline::heartbeats::Heartbeats;
use crate::pipeline::output::Output;
use crate::pipeline::spool::Spool;
use crate::runtime::http;
use crate::runtime::metrics::Metrics;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::tasks::Tasks;
use crate::runtime::time_grid::{Micros, TimeGrid, now};
use crate::settings::{Run, Settings, spool_folder};
use crate::sink::recorder::Recorder;
use crate::sink::registry::{self, Registration};
use crate::sink::writers::Writers;
use crate::source::{Description, Named};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) async fn run(settings: &Settings, wanted: &Run) -> Result<(), Error> {
    let shutdown = Shutdown::on_signals()?;
    let (common, sources) = (&settings.common, settings.sources()?);
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
    let described: Vec<Description> = sources.iter().map(|named| named.source.describe()).collect();
    let mut registration = Registration::new(common.collector_id.as_str().into(), described.clone());
    registration.waiting_since = waiting_since(&mut spool)?;
    let recorder = Recorder::new(settings, Some(&folder), metrics.clone());
    let mut writers = Writers::new(target.clone(), registration, common, recorder);
    let guard = spool.guard();
    match writers.open(|database| guard.admits(database)).await {
        Ok(()) => announce(&sources, &described, target.name()),
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "collecting; data wait in the spool until it answers");
        }
        Err(error) => return Err(error),
    }
    if let Some(database) = writers.database() {
        spool.belongs_to(database)?;
    }

    let mut tasks = Tasks::new(metrics.clone(), shutdown.clone());
    if let Some(listener) = pages {
        tasks.start("server of /metrics and /health", http::serve(listener, metrics.clone()));
    }
    if !wanted.calculate_every.is_zero() {
        let since = described.iter().map(|source| source.since).min().unwrap_or_else(now);
        tasks.start("calculation of KPIs", calculate(target, wanted.calculate_every, since));
    }
    let heartbeats = heartbeats(common.collector_id.as_str(), &described);
    let acknowledges = sources.iter().map(|named| named.source.acknowledges());
    let (outputs, messages) = Output::channel(acknowledges, common.rows(), &metrics);
    let delivery = Delivery::new(writers, spool, heartbeats, common, metrics.clone());
    let mut delivery = tokio::spawn(delivery.run(messages, wanted.grace));
    let at_work = at_work(sources, outputs, shutdown, metrics.clone());
    let work = async {
        tokio::pin!(at_work);
        let (worked, delivered) = tokio::select! {
            // No output is left, and the delivery ends when it has brought home what it can.
            worked = &mut at_work => (worked, delivery.await),
            delivered = &mut delivery => match delivered {
                Ok(Ok(())) => (at_work.await, delivered),
                failed => (Ok(()), failed),
            },
        };
        worked.and(delivered.unwrap_or(Err(Error::Ended("delivery"))))
    };
    let ended = tasks.watch_over(work).await;
    tracing::info!(
        samples = metrics.produced.get(),
        stored = metrics.stored.get(),
        duplicates = metrics.duplicates.get(),
        conflicts = metrics.conflicts.get(),
        refused = metrics.refused.get(),
        lost = metrics.lost.get(),
        spooled = metrics.spool_batches.get(),
        "ended"
    );
    ended
}

fn announce(sources: &[Named], described: &[Description], database: &str) {
    for (Named { name, .. }, description) in sources.iter().zip(described) {
        let devices = description.devices.len();
        tracing::info!(database, source = name, devices, "collecting");
    }
}

/// As often as the source that is asked most often.
pub(crate) fn heartbeats(collector: &str, sources: &[Description]) -> Heartbeats {
    let interval = sources.iter().map(|source| source.interval).min().unwrap_or_default();
    Heartbeats::new(collector.into(), TimeGrid::new(interval), sources.len())
}

/// All sources, until the last has ended. One that ends before an end was asked for ends the others.
async fn at_work(
    sources: Vec<Named>,
    outputs: Vec<Output>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
) -> Result<(), Error> {
    let mut running = JoinSet::new();
    for (Named { name, source }, output) in sources.into_iter().zip(outputs) {
        let run = source.run(output, shutdown.clone());
        running.spawn(async move { (name, tokio::spawn(run).await) });
    }
    let mut first = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = match ended {
            Ok((_, Ok(Ok(())))) if shutdown.is_requested() => Ok(()),
            Ok((_, Ok(Err(error)))) => Err(error),
            Ok((name, ended)) => {
                let reason = ended
                    .err()
                    .map_or_else(|| "it returned".to_owned(), |panic| panic.to_string());
                tracing::error!(source = name, reason, "a source ended");
                Err(Error::Ended("source"))
            }
            Err(_) => Err(Error::Ended("source")),
        };
        if let Err(error) = &ended
            && !shutdown.is_requested()
        {
            tracing::error!(%error, "a source ended; so does the whole, in order");
            metrics.ended("source");
            shutdown.request();
        }
        first = first.and(ended);
    }
    first
}

/// The earliest time of the data an earlier run has left; the devices were there by then.
fn waiting_since(spool: &mut Spool) -> Result<Option<Micros>, Error> {
    let oldest = spool.oldest(1)?;
    Ok(oldest.and_then(|waiting| waiting.batch.span()).map(|(first, _)| first))
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
