use super::faults::FaultyDisk;
use super::*;
use crate::pipeline::batch::Sample;

mod damage;
mod disk_faults;
mod old_segments;

const MAX: u64 = 1 << 20;

/// Three rows that can be told from those of any other number.
fn batch(number: i64) -> Batch {
    let samples = (0..3)
        .map(|i| Sample {
            device: "TEMP_001".into(),
            metric: "x".into(),
            time: number * 10 + i,
            value: 0.1 * number as f64,
        })
        .collect();
    Batch {
        samples,
        statuses: Vec::new(),
    }
}

fn number(batch: &Batch) -> i64 {
    batch.samples[0].time / 10
}

fn push(spool: &mut Spool, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        assert_eq!(spool.push(&batch(number)).unwrap(), Kept::Safe);
    }
}

/// On a disk that does not wait for the platters: what is killed here is never more than a process.
fn open(folder: &Path) -> Spool {
    Spool::open_on(Arc::new(FaultyDisk::sound()), folder, MAX).unwrap()
}

/// All that waits, one by one.
fn drained(spool: &mut Spool) -> Vec<i64> {
    let mut all = Vec::new();
    while let Some(waiting) = spool.oldest(1).unwrap() {
        all.push(number(&waiting.batch));
        assert_eq!(*waiting.batch, batch(number(&waiting.batch)));
        spool.delivered(&waiting);
    }
    assert!(
        spool.is_empty() && spool.bytes() == 0 && spool.batches() == 0,
        "{spool:?}"
    );
    all
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    paths.sort();
    paths
}

#[test]
fn first_in_is_first_out_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    for start in [0, 10] {
        push(&mut open(folder.path()), start..start + 10);
    }
    let mut spool = open(folder.path());
    assert_eq!(spool.batches(), 20);
    assert_eq!(drained(&mut spool), (0..20).collect::<Vec<_>>());
    assert!(files(folder.path(), "spool").is_empty());
    push(&mut spool, [99]);
    assert_eq!(drained(&mut spool), [99]);
    assert_eq!(spool.losses(), Loss::default());
}

#[test]
fn batches_come_and_go_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), MAX).unwrap();
    for round in 0..20 {
        push(&mut spool, [2 * round, 2 * round + 1]);
        let waiting = spool.oldest(1).unwrap().unwrap();
        assert_eq!(number(&waiting.batch), round);
        assert_eq!(spool.batches(), round as u64 + 2);
        spool.delivered(&waiting);
    }
    assert_eq!(drained(&mut spool), (20..40).collect::<Vec<_>>());
}

#[test]
fn what_is_safe_outlives_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::sound());
    let mut spool = Spool::open_on(disk.clone(), folder.path(), MAX).unwrap();
    for number in 0..6 {
        push(&mut spool, [number]);
        assert!(disk.is_synced());
        if number == 2 {
            spool.output = None;
        }
    }
}

#[test]
fn a_full_spool_keeps_the_oldest_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 2000).unwrap();
    let kept = (0..100)
        .take_while(|&i| spool.push(&batch(i)).unwrap() == Kept::Safe)
        .count() as i64;
    assert!(kept > 3 && kept < 100 && spool.bytes() <= 2000 && !spool.has_room());
    assert_eq!(spool.push(&batch(0)).unwrap(), Kept::Full);
    assert_eq!(drained(&mut spool), (0..kept).collect::<Vec<_>>());
    assert!(spool.has_room());
    assert_eq!(spool.push(&batch(0)).unwrap(), Kept::Safe);
}

#[test]
fn segments_go_as_they_are_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 300 << 10).unwrap();
    let mut large = Batch::default();
    (0..100).for_each(|i| large.append(batch(i)));
    while spool.push(&large).unwrap() == Kept::Safe {}
    let before = files(folder.path(), "spool").len();
    assert!(before > 2);
    for _ in 0..spool.batches() / 2 {
        let waiting = spool.oldest(1).unwrap().unwrap();
        assert_eq!(*waiting.batch, large);
        spool.delivered(&waiting);
    }
    assert!(files(folder.path(), "spool").len() < before);
    assert_eq!(spool.push(&batch(1)).unwrap(), Kept::Safe);
}

#[test]
fn two_collectors_cannot_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let text = Spool::open(folder.path(), MAX).unwrap_err().to_string();
    assert!(text.contains("--spool-dir") && text.contains("in use"), "{text}");
}

#[test]
fn small_batches_leave_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0..10);
    let mut all = Batch::default();
    for expected in [9, 9, 9, 3] {
        let waiting = spool.oldest(10).unwrap().unwrap();
        assert_eq!(waiting.batch.len(), expected);
        spool.delivered(&waiting);
        all.append((*waiting.batch).clone());
    }
    let mut whole = Batch::default();
    (0..10).for_each(|i| whole.append(batch(i)));
    assert_eq!(all, whole);
    assert!(spool.is_empty());
}

/// What was looked at and not delivered is there the next time.
#[test]
fn nothing_leaves_before_it_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, 0..4);
    for _ in 0..3 {
        assert_eq!(number(&spool.oldest(1).unwrap().unwrap().batch), 0);
    }
    drop(spool);
    assert_eq!(drained(&mut open(folder.path())), [0, 1, 2, 3]);
}

#[test]
fn what_waits_for_one_database_reaches_no_other() {
    let reached = |asked_for: &str, name: &str, system| DatabaseId {
        asked_for: asked_for.to_owned(),
        name: Some(name.to_owned()),
        system: Some(system),
    };
    let iot = reached("pool", "iot", 1);
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    // Never reached: what is known of it is how it was asked for.
    spool.belongs_to(&DatabaseId::asked_for("pool")).unwrap();
    push(&mut spool, [0]);
    drop(spool);
    let mut spool = open(folder.path());
    assert!(spool.belongs_to(&DatabaseId::asked_for("other")).is_err());
    spool.belongs_to(&iot).unwrap();
    push(&mut spool, [1]);
    drop(spool);
    let mut spool = open(folder.path());
    for other in [
        reached("pool", "iot", 2),
        reached("pool", "iot_2", 1),
        DatabaseId::asked_for("iot_2"),
    ] {
        let text = spool.belongs_to(&other).unwrap_err().to_string();
        let says = ["iot", "cluster 1", "--spool-dir", "--spool-adopt"];
        assert!(
            says.iter().all(|part| text.contains(part)) || other.name.is_none(),
            "{text}"
        );
    }
    assert_eq!(spool.batches(), 2, "and it still waits");
    spool.belongs_to(&DatabaseId::asked_for("pool")).unwrap();
    spool.adopt(&DatabaseId::asked_for("new"));
    spool.belongs_to(&reached("new", "restored", 3)).unwrap();
    assert_eq!(drained(&mut spool), [0, 1]);
    // Nothing waits: it may be any.
    spool.belongs_to(&iot).unwrap();
}
