//! What version 0.2.0 has left is delivered.

use super::*;

/// A segment as 0.2.0 wrote it.
fn old_segment(numbers: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let mut content = old::MAGIC.to_vec();
    for number in numbers {
        let body = postcard::to_stdvec(&batch(number)).unwrap();
        content.extend((body.len() as u32).to_le_bytes());
        content.extend(crc32fast::hash(&body).to_le_bytes());
        content.extend(body);
    }
    content
}

fn put(folder: &Path, number: u64, content: &[u8]) {
    std::fs::write(folder.join(format!("{number:016}.spool")), content).unwrap();
}

#[test]
fn old_segments_come_before_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), 3, &old_segment(0..5));
    put(folder.path(), 4, &old_segment(5..9));
    let mut spool = open(folder.path());
    assert_eq!(spool.batches(), 9);
    spool.belongs_to(&DatabaseId::asked_for("any")).unwrap();
    push(&mut spool, 9..12);
    // Some of the old ones leave, then the process is another.
    for _ in 0..7 {
        let waiting = spool.oldest(1).unwrap().unwrap();
        spool.delivered(&waiting);
    }
    drop(spool);
    let mut spool = open(folder.path());
    assert_eq!(spool.batches(), 7);
    assert_eq!(drained(&mut spool), (5..12).collect::<Vec<_>>());
    assert_eq!(spool.losses(), Loss::default());
}

/// The file of a released 0.2.0 itself.
#[test]
fn a_spool_of_0_2_0_is_read() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), 1, include_bytes!("0.2.0.spool"));
    let mut spool = open(folder.path());
    let mut all = Batch::default();
    while let Some(waiting) = spool.oldest(1).unwrap() {
        spool.delivered(&waiting);
        all.append((*waiting.batch).clone());
    }
    assert_eq!(spool.losses(), Loss::default());
    let devices: std::collections::BTreeSet<&str> = all.samples.iter().map(|s| &*s.device).collect();
    let expected = [
        "AIR_001",
        "CAM_001",
        "HUMID_001",
        "MOTION_001",
        "TEMP_001",
        "collector-1",
    ];
    assert_eq!(devices.into_iter().collect::<Vec<_>>(), expected);
    assert!(all.statuses.iter().any(|status| &*status.status == "online"));
}

#[test]
fn a_torn_old_segment_keeps_its_whole_records() {
    let whole = old_segment(0..3);
    let record = (whole.len() - 8) / 3;
    for length in 0..=whole.len() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), 1, &whole[..length]);
        let mut spool = open(folder.path());
        let survivors = length.saturating_sub(8) / record;
        push(&mut spool, [7]);
        let expected: Vec<i64> = (0..survivors as i64).chain([7]).collect();
        assert_eq!(drained(&mut spool), expected, "torn at {length}");
        assert_eq!(spool.losses(), Loss::default(), "torn at {length}");
    }
}

/// Without numbers and marks, too: a damaged length cuts off nothing.
#[test]
fn any_damaged_byte_of_an_old_segment_costs_one_record() {
    let whole = old_segment(0..4);
    let record = (whole.len() - 8) / 4;
    for offset in 0..whole.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let folder = tempfile::tempdir().unwrap();
            let mut content = whole.clone();
            content[offset] ^= flip;
            put(folder.path(), 1, &content);
            let mut spool = open(folder.path());
            push(&mut spool, [4]);
            let hit = offset.checked_sub(8).map(|offset| (offset / record) as i64);
            let expected: Vec<i64> = (0..5).filter(|number| Some(*number) != hit).collect();
            assert_eq!(drained(&mut spool), expected, "byte {offset}");
            // A length in the last record that is too long looks as if the record was torn.
            let torn = hit == Some(3) && (offset - 8) % record < 4;
            let lost = spool.losses().records;
            assert!(
                lost == u64::from(hit.is_some()) || torn && lost == 0,
                "byte {offset}: {lost}"
            );
        }
    }
}
