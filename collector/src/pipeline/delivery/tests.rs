//! With a database that nobody answers for: everything that can be safe is on disk, and who can wait waits.

use super::*;
use crate::database::Target;
use crate::pipeline::batch::Sample;
use crate::pipeline::output::Output;
use crate::runtime::time_grid::TimeGrid;
use crate::settings::{Command, Settings};
use crate::sink::recorder::Recorder;
use crate::sink::registry::Registration;
use std::path::Path;

/// Outputs of sources, of which some acknowledge, before a delivery with so much room on disk.
fn delivery(
    folder: &Path,
    acknowledges: &[bool],
    max: u64,
) -> (Vec<Output>, Arc<Metrics>, JoinHandle<Result<(), Error>>) {
    let url = "--database-url=postgresql://nobody@127.0.0.1:1/none";
    let settings = Settings::from(["iot-kpi-collector", "simulate", url, "--retry-max=50ms"]).unwrap();
    assert!(matches!(settings.command, Command::Simulate(_)));
    let metrics = Arc::new(Metrics::default());
    let recorder = Recorder {
        metrics: metrics.clone(),
        dead_letters: None,
    };
    let target = Target::from_settings(&settings).unwrap();
    let registration = Registration::new("C".into(), Vec::new());
    let writers = Writers::new(target, registration, &settings.common, recorder);
    let (outputs, messages) = Output::channel(acknowledges.iter().copied(), 1000, &metrics);
    let spool = Spool::open(folder, max).unwrap();
    let heartbeats = Heartbeats::new("C".into(), TimeGrid::new(Duration::from_secs(1)), acknowledges.len());
    let delivery = Delivery::new(writers, spool, heartbeats, &settings.common, metrics.clone());
    let running = tokio::spawn(delivery.run(messages, Duration::from_millis(10)));
    (outputs, metrics, running)
}

fn batch(time: Micros) -> Batch {
    let sample = |i: i64| Sample {
        device: format!("D{i}").into(),
        metric: "m".into(),
        time,
        value: 0.0,
    };
    Batch {
        samples: (0..20).map(sample).collect(),
        ..Batch::default()
    }
}

fn spooled(folder: &Path) -> Batch {
    let mut spool = Spool::open(folder, 1 << 20).unwrap();
    let mut all = Batch::default();
    while let Some(waiting) = spool.oldest(1).unwrap() {
        spool.delivered(&waiting);
        all.append((*waiting.batch).clone());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_disk_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (outputs, metrics, running) = delivery(folder.path(), &[true, false], 1 << 20);
    for output in &outputs {
        let acknowledgement = output.send(batch(1)).await.unwrap();
        assert_eq!(acknowledgement.outcome().await, Outcome::Spooled);
    }
    outputs[0].observed(vec![1]).await.unwrap();
    outputs[1].observed(vec![1]).await.unwrap();
    drop(outputs);
    running.await.unwrap().unwrap();
    let all = spooled(folder.path());
    assert_eq!(all.len(), 42, "two batches, a heartbeat and its status");
    assert_eq!(&*all.samples.last().unwrap().device, "C");
    assert_eq!(metrics.lost.get(), 0);
}

/// When the disk is full, who can send it again is kept waiting, and who cannot loses; the heartbeat stays away.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_keeps_some_waiting_and_lets_others_lose() {
    let folder = tempfile::tempdir().unwrap();
    let (outputs, metrics, running) = delivery(folder.path(), &[true, false], 3000);
    let mut safe = 0;
    let waiting = loop {
        let outcome = outputs[0].send(batch(safe)).await.unwrap().outcome();
        let mut outcome = Box::pin(outcome);
        match tokio::time::timeout(Duration::from_millis(200), &mut outcome).await {
            Ok(Outcome::Spooled) => safe += 1,
            Ok(outcome) => panic!("{outcome:?}"),
            Err(_) => break outcome,
        }
    };
    assert!(safe > 2 && metrics.lost.get() == 0 && !metrics.health().0);
    let lossy = outputs[1].send(batch(100)).await.unwrap();
    assert_eq!(lossy.outcome().await, Outcome::Lost);
    assert_eq!(metrics.lost.get(), 20);
    outputs[0].observed(vec![100]).await.unwrap();
    outputs[1].observed(vec![100]).await.unwrap();
    drop(outputs);
    running.await.unwrap().unwrap();
    // Nobody says it was safe: it is to be sent again.
    assert_eq!(waiting.await, Outcome::Lost);
    let all = spooled(folder.path());
    assert_eq!(all.len() as i64, 20 * safe, "and no heartbeat");
}
