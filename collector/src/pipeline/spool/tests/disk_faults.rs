//! A disk that fails at any call: the spool works on, nothing that was promised is lost, nothing comes twice or out of order.

use super::super::faults::{EIO, ENOSPC, Fault};
use super::*;

/// What a run has promised, and what has left in it.
#[derive(Debug, Default)]
struct Run {
    safe: Vec<i64>,
    refused: Vec<i64>,
    delivered: Vec<i64>,
    lost: Loss,
}

impl Run {
    fn push(&mut self, spool: &mut Spool, number: i64) {
        match spool.push(&batch(number)) {
            Ok(Kept::Safe) => self.safe.push(number),
            Ok(Kept::Full) => panic!("there is room"),
            Err(_) => self.refused.push(number),
        }
    }

    /// As the delivery does it: what cannot be read now is tried again.
    fn deliver(&mut self, spool: &mut Spool, count: usize) {
        let mut left = count;
        for _ in 0..count + 2 * TRIES as usize {
            if left == 0 {
                return;
            }
            match spool.oldest(1) {
                Ok(Some(waiting)) => {
                    self.delivered.push(number(&waiting.batch));
                    spool.delivered(&waiting);
                    left -= 1;
                }
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }
}

/// Pushes and delivers in turn over some segments, small ones so that each call of the disk occurs.
fn run(spool: &mut Spool) -> Run {
    let mut run = Run::default();
    (0..4).for_each(|number| run.push(spool, number));
    run.deliver(spool, 2);
    // As a segment that is large enough: the next record begins another.
    spool.output = None;
    (4..8).for_each(|number| run.push(spool, number));
    run.deliver(spool, 4);
    (8..11).for_each(|number| run.push(spool, number));
    run.lost = spool.losses();
    run
}

/// A folder with a torn end and damage of earlier processes, so that cutting and setting aside occur.
fn folder_with_a_past() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    push(&mut open(folder.path()), [-2]);
    push(&mut open(folder.path()), [-1]);
    let paths = files(folder.path(), "spool");
    let mut content = std::fs::read(&paths[0]).unwrap();
    *content.last_mut().unwrap() ^= 1;
    std::fs::write(&paths[0], content).unwrap();
    let mut content = std::fs::read(&paths[1]).unwrap();
    content.extend_from_slice(&record::encode(&batch(99), Position { record: 2, row: 6 }).unwrap()[..50]);
    std::fs::write(&paths[1], content).unwrap();
    folder
}

fn try_all(fault: Fault, times: u64) {
    let calm = Arc::new(FaultyDisk::sound());
    let folder = folder_with_a_past();
    run(&mut Spool::open_on(calm.clone(), folder.path(), MAX).unwrap());
    assert!(calm.calls() > 40, "only {} calls", calm.calls());
    for first in 1..=calm.calls() {
        try_one(fault, first, times);
    }
}

fn try_one(fault: Fault, first: u64, times: u64) {
    let folder = folder_with_a_past();
    let disk = Arc::new(FaultyDisk::new(first, times, fault));
    let what = format!("{fault:?} at call {first}, {times} times");
    let Ok(mut spool) = Spool::open_on(disk.clone(), folder.path(), MAX) else {
        // The process would end here, and say why; all is there when it starts again.
        let mut spool = open(folder.path());
        assert_eq!(drained(&mut spool), [-1], "{what}");
        assert_eq!(spool.losses(), Loss { records: 1, rows: 3 }, "{what}");
        return;
    };
    let run = run(&mut spool);
    // It works on, as soon as the disk does.
    let mut after = Run::default();
    let mut number = 100;
    while disk.calls() < first + times {
        after.push(&mut spool, number);
        number += 1;
        assert!(number < 1000, "{what}: it never works again");
    }
    push(&mut spool, [1000]);
    let safe: Vec<i64> = [-1]
        .into_iter()
        .chain(run.safe.clone())
        .chain(after.safe)
        .chain([1000])
        .collect();
    let refused = run.refused.len() + after.refused.len();
    assert!(refused <= times as usize, "{what}: {run:?}");

    // In this process: each once, in order. What could not be read at all is counted.
    let killed = folder_copy(folder.path());
    let mut out = run.delivered.clone();
    let mut rest = Run::default();
    rest.deliver(&mut spool, 1000);
    out.extend(rest.delivered);
    let lost = run.lost.records + spool.losses().records - 1;
    let missing = safe.iter().filter(|number| !out.contains(number)).count() as u64;
    assert_eq!(missing, lost, "{what}: {safe:?} {out:?}");
    assert!(lost == 0 || times >= u64::from(TRIES), "{what}: given up too soon");
    let present: Vec<i64> = safe.iter().copied().filter(|number| out.contains(number)).collect();
    assert_eq!(out, present, "{what}");
    assert!(spool.is_empty(), "{what}");

    // In another one, had this been killed instead: all that had not left, in order, and perhaps some that had.
    let mut spool = open(killed.path());
    let again = drained(&mut spool);
    assert!(again.is_sorted(), "{what}: {again:?}");
    let must: Vec<i64> = safe
        .iter()
        .copied()
        .filter(|number| !run.delivered.contains(number))
        .collect();
    let lost = spool.losses().records + run.lost.records;
    let missing = must.iter().filter(|number| !again.contains(number)).count() as u64;
    assert!(missing <= lost, "{what}: {must:?} {again:?} {lost}");
    if times == 1 {
        let strangers: Vec<_> = again.iter().filter(|number| !safe.contains(number)).collect();
        assert!(strangers.is_empty(), "{what}: {strangers:?} were not promised");
    }
}

fn folder_copy(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for path in files(folder, "spool") {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[test]
fn any_one_call_may_fail() {
    for fault in [Fault::Error(ENOSPC), Fault::Error(EIO), Fault::Short] {
        try_all(fault, 1);
    }
}

#[test]
fn any_calls_in_a_row_may_fail() {
    for fault in [Fault::Error(ENOSPC), Fault::Error(EIO), Fault::Short] {
        for times in [2, 3, 6, 20] {
            try_all(fault, times);
        }
    }
}

/// A file that could not be removed goes with the next batch that comes, and is not delivered again meanwhile.
#[test]
fn what_cannot_be_removed_is_removed_later() {
    let folder = tempfile::tempdir().unwrap();
    push(&mut open(folder.path()), [0]);
    // Opening takes five calls, two of them for the list; reading takes one; then the file is removed.
    let disk = Arc::new(FaultyDisk::new(7, 1, Fault::Error(EIO)));
    let mut spool = Spool::open_on(disk, folder.path(), MAX).unwrap();
    let waiting = spool.oldest(1).unwrap().unwrap();
    spool.delivered(&waiting);
    assert!(spool.is_empty() && spool.bytes() > 0, "{spool:?}");
    let before = files(folder.path(), "spool");
    assert_eq!(before.len(), 1);
    push(&mut spool, [1]);
    assert!(!before[0].exists());
    assert_eq!(drained(&mut spool), [1]);
}

/// The disk fills while a segment's first bytes are written, and is full for a while.
#[test]
fn a_full_disk_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    // Opening takes three calls; then each push makes a file, writes it, and removes what is left of it.
    let disk = Arc::new(FaultyDisk::new(4, 30, Fault::Short));
    let mut spool = Spool::open_on(disk, folder.path(), MAX).unwrap();
    let first_safe = (0..100).find(|number| spool.push(&batch(*number)).is_ok()).unwrap();
    assert!(first_safe > 2);
    push(&mut spool, [200]);
    drop(spool);
    assert_eq!(drained(&mut open(folder.path())), [first_safe, 200]);
    assert!(files(folder.path(), "damaged").is_empty());
}
