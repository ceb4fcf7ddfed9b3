//! A crash at any byte, and damage of any byte.

use super::*;
use proptest::prelude::*;

/// A folder with one segment of so many records, its file, and where in it each record ends.
fn segment(records: i64) -> (tempfile::TempDir, PathBuf, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    let mut ends = Vec::new();
    for number in 0..records {
        push(&mut spool, [number]);
        ends.push(spool.bytes() as usize);
    }
    let path = files(folder.path(), "spool").remove(0);
    (folder, path, ends)
}

/// A crash may leave any beginning of the file: what was whole stays, what was torn was never promised, and the spool works on.
#[test]
fn a_file_torn_at_any_byte_keeps_its_whole_records() {
    let (folder, path, ends) = segment(4);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut spool = open(folder.path());
        let survivors = ends.iter().filter(|&&end| end <= length).count() as i64;
        assert_eq!(spool.batches(), survivors as u64, "torn at {length}");
        push(&mut spool, [7]);
        drop(spool);
        let mut spool = open(folder.path());
        let expected: Vec<i64> = (0..survivors).chain([7]).collect();
        assert_eq!(drained(&mut spool), expected, "torn at {length}");
        assert_eq!(spool.losses(), Loss::default(), "torn at {length}");
        assert!(files(folder.path(), "damaged").is_empty());
    }
}

/// Whichever byte is hit, in a length or elsewhere: one record is lost at most, and counted with its rows.
#[test]
fn any_damaged_byte_costs_one_record_and_is_counted() {
    let (folder, path, ends) = segment(4);
    let whole = std::fs::read(&path).unwrap();
    let first = ends[0] - (ends[1] - ends[0]);
    for offset in 0..whole.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut content = whole.clone();
            content[offset] ^= flip;
            std::fs::write(&path, content).unwrap();
            let mut spool = open(folder.path());
            push(&mut spool, [4]);
            let expected: Vec<i64> = match ends.iter().position(|&end| offset < end) {
                _ if offset < first => (0..5).collect(),
                hit => (0..5).filter(|number| Some(*number as usize) != hit).collect(),
            };
            assert_eq!(drained(&mut spool), expected, "byte {offset}");
            let (records, lost) = (5 - expected.len() as u64, spool.losses());
            assert_eq!(lost.records, records, "byte {offset}");
            // Only how many rows a record had that is the last of all, and whose header was hit, is not known.
            assert!(
                lost.rows == 3 * records || offset >= ends[2] && lost.rows == 0,
                "byte {offset}: {lost:?}"
            );
            let kept = files(folder.path(), "damaged");
            assert_eq!(
                kept.len() as u64,
                u64::from(records > 0 || offset < first),
                "byte {offset}"
            );
            kept.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Damage of whatever size: each batch that comes out went in, in its order, and what does not is counted.
    #[test]
    fn what_went_in_comes_out_or_is_counted(
        holes in prop::collection::vec((0usize..20_000, 1usize..400, any::<u8>()), 1..4), restarts in 1i64..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        for run in 0..restarts {
            push(&mut open(folder.path()), run * 10..run * 10 + 10);
        }
        let paths = files(folder.path(), "spool");
        for (offset, length, byte) in holes {
            let path = &paths[offset % paths.len()];
            let mut content = std::fs::read(path).unwrap();
            // The last record stays: how many are missing behind it nobody could know.
            let end = content.len() - 120;
            let offset = offset % end;
            content[offset..end.min(offset + length)].fill(byte);
            std::fs::write(path, content).unwrap();
        }
        let mut spool = open(folder.path());
        let first_is_known = spool.expected == Position::default();
        let out = drained(&mut spool);
        prop_assert!(out.is_sorted() && out.windows(2).all(|two| two[0] != two[1]));
        prop_assert!(out.iter().all(|number| (0..restarts * 10).contains(number)));
        let lost = spool.losses();
        let missing = (restarts * 10) as u64 - out.len() as u64;
        if first_is_known {
            prop_assert_eq!(lost, Loss { records: missing, rows: 3 * missing });
        } else {
            // Damaged before the first record that can be read: it began with that one, or the one before.
            prop_assert!(lost.records <= missing);
        }
    }
}

#[test]
fn a_segment_that_is_gone_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    for run in 0..3 {
        push(&mut open(folder.path()), run * 10..run * 10 + 10);
    }
    std::fs::remove_file(&files(folder.path(), "spool")[1]).unwrap();
    let mut spool = open(folder.path());
    assert_eq!(drained(&mut spool), (0..10).chain(20..30).collect::<Vec<_>>());
    assert_eq!(spool.losses(), Loss { records: 10, rows: 30 });
}

/// Nothing is damaged, and yet something is missing.
#[test]
fn a_record_that_is_gone_is_counted() {
    let (folder, path, ends) = segment(4);
    let mut content = std::fs::read(&path).unwrap();
    content.drain(ends[0]..ends[1]);
    std::fs::write(&path, content).unwrap();
    let mut spool = open(folder.path());
    let mut rows = 0;
    while let Some(waiting) = spool.oldest(1000).unwrap() {
        rows += waiting.batch.len();
        spool.delivered(&waiting);
    }
    assert_eq!(rows, 9);
    assert_eq!(spool.losses(), Loss { records: 1, rows: 3 });
}

#[test]
fn what_is_no_segment_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("0000000000000001.spool"), "a letter to my mother").unwrap();
    std::fs::write(folder.path().join("0000000000000002.spool"), "").unwrap();
    let mut spool = open(folder.path());
    push(&mut spool, [1]);
    assert_eq!(drained(&mut spool), [1]);
    assert_eq!(spool.losses().records, 1);
    let kept = files(folder.path(), "damaged");
    assert_eq!(std::fs::read(&kept[0]).unwrap(), b"a letter to my mother");
}

#[test]
fn damaged_segments_do_not_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..40 {
        let mut spool = Spool::open(folder.path(), 4000).unwrap();
        push(&mut spool, 0..4);
        drop(spool);
        let path = files(folder.path(), "spool").remove(0);
        let mut content = std::fs::read(&path).unwrap();
        content[150] ^= 1;
        std::fs::write(&path, content).unwrap();
        drained(&mut Spool::open(folder.path(), 4000).unwrap());
    }
    let kept = files(folder.path(), "damaged");
    let bytes: u64 = kept.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert!(bytes > 500 && bytes <= 1000, "{kept:?}");
}
