use super::*;
use crate::batch::Sample;
use proptest::prelude::*;

const MAX: u64 = 1 << 20;

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

fn drained(spool: &mut Spool) -> Vec<Batch> {
    let mut all = Vec::new();
    while let Some((count, batch)) = spool.oldest(1).unwrap() {
        assert_eq!(count, 1);
        all.push(batch);
        spool.delivered(count).unwrap();
    }
    assert!(spool.is_empty() && spool.bytes() == 0 && spool.batches() == 0);
    all
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "spool"))
        .collect()
}

#[test]
fn first_in_is_first_out_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    for start in [0, 10] {
        let mut spool = Spool::open(folder.path(), MAX).unwrap();
        (start..start + 10).for_each(|i| assert_eq!(spool.push(&batch(i)).unwrap(), Kept::Safe));
    }
    let mut spool = Spool::open(folder.path(), MAX).unwrap();
    assert_eq!(spool.batches(), 20);
    assert_eq!(drained(&mut spool), (0..20).map(batch).collect::<Vec<_>>());
    assert!(segments(folder.path()).is_empty());
    spool.push(&batch(99)).unwrap();
    assert_eq!(drained(&mut spool), [batch(99)]);
}

/// A crash may leave any beginning of the file: what was whole stays, what was torn goes, and the spool works on.
#[test]
fn a_file_torn_at_any_byte_keeps_its_whole_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut ends = vec![];
    {
        let mut spool = Spool::open(folder.path(), MAX).unwrap();
        for i in 0..3 {
            spool.push(&batch(i)).unwrap();
            ends.push(spool.bytes() as usize);
        }
    }
    let path = segments(folder.path()).remove(0);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut spool = Spool::open(folder.path(), MAX).unwrap();
        let survivors = ends.iter().filter(|&&end| end <= length).count() as i64;
        spool.push(&batch(7)).unwrap();
        let expected: Vec<Batch> = (0..survivors).chain([7]).map(batch).collect();
        assert_eq!(drained(&mut spool), expected, "torn at {length}");
        assert_eq!(spool.damaged(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A flipped bit never makes up data: each batch that comes out went in.
    #[test]
    fn a_flipped_bit_costs_records_and_never_makes_any_up(place in 0usize..10_000, bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        {
            let mut spool = Spool::open(folder.path(), MAX).unwrap();
            (0..4).for_each(|i| _ = spool.push(&batch(i)).unwrap());
        }
        let path = segments(folder.path()).remove(0);
        let mut content = std::fs::read(&path).unwrap();
        let place = place % content.len();
        content[place] ^= 1 << bit;
        std::fs::write(&path, content).unwrap();
        let mut spool = Spool::open(folder.path(), MAX).unwrap();
        let out = drained(&mut spool);
        prop_assert!(out.len() < 4);
        prop_assert!(out.iter().all(|one| (0..4).any(|i| *one == batch(i))));
    }
}

#[test]
fn a_full_spool_keeps_the_oldest_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 2000).unwrap();
    let kept = (0..100)
        .take_while(|&i| spool.push(&batch(i)).unwrap() == Kept::Safe)
        .count() as i64;
    assert!(kept > 3 && kept < 100 && spool.bytes() <= 2000);
    assert_eq!(spool.push(&batch(0)).unwrap(), Kept::Full);
    assert_eq!(drained(&mut spool), (0..kept).map(batch).collect::<Vec<_>>());
    assert_eq!(spool.push(&batch(0)).unwrap(), Kept::Safe);
}

#[test]
fn segments_go_as_they_are_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 300 << 10).unwrap();
    let mut large = Batch::default();
    (0..100).for_each(|i| large.append(batch(i)));
    while spool.push(&large).unwrap() == Kept::Safe {}
    let before = segments(folder.path()).len();
    assert!(before > 2);
    for _ in 0..spool.batches() / 2 {
        spool.oldest(1).unwrap().unwrap();
        spool.delivered(1).unwrap();
    }
    assert!(segments(folder.path()).len() < before);
    assert_eq!(spool.push(&batch(1)).unwrap(), Kept::Safe);
}

#[test]
fn two_collectors_cannot_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Spool::open(folder.path(), MAX).unwrap();
    let text = Spool::open(folder.path(), MAX).unwrap_err().to_string();
    assert!(text.contains("--spool-dir") && text.contains("in use"), "{text}");
}

#[test]
fn small_batches_leave_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), MAX).unwrap();
    (0..10).for_each(|i| _ = spool.push(&batch(i)).unwrap());
    let mut all = Batch::default();
    for expected in [3, 3, 3, 1] {
        let (count, together) = spool.oldest(10).unwrap().unwrap();
        assert_eq!((count, together.len()), (expected, 3 * expected as usize));
        all.append(together);
        spool.delivered(count).unwrap();
    }
    let mut whole = Batch::default();
    (0..10).for_each(|i| whole.append(batch(i)));
    assert_eq!(all, whole);
    assert!(spool.is_empty());
}
