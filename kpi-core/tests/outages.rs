//! Outages by hand: where one begins, ends, and counts as a failure of the window.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers outside a #[test] included, a panic is the message"
)]

use kpi_core::classes::Exemptions;
use kpi_core::heartbeats::Heartbeats;
use kpi_core::outages::Outage;
use kpi_core::spans::Spans;
use kpi_core::time::Window;

/// The outages of [100, 200) for a device that is live in these spans.
fn found(live: &[(i64, i64)], excluded: &[(i64, i64)], unknown: &[(i64, i64)]) -> Vec<Outage> {
    let mut beats = Heartbeats::default();
    live.iter().for_each(|l| beats.beat(l.0, l.1 - l.0).unwrap());
    let exempt = Exemptions {
        excluded: Spans::union_of(excluded.to_vec()),
        unknown: Spans::union_of(unknown.to_vec()),
    };
    beats.outages(Window::new(100, 200).unwrap(), &exempt, 0)
}

fn outage(started_at: i64, ended_at: Option<i64>, duration: i64, began_before: bool, last_beat: Option<i64>) -> Outage {
    Outage {
        started_at,
        ended_at,
        duration,
        ongoing: ended_at.is_none(),
        began_before,
        last_beat,
    }
}

#[test]
fn it_begins_where_live_time_ends() {
    let inside = found(&[(50, 120), (150, 250)], &[], &[]);
    assert_eq!(inside, [outage(120, Some(150), 30, false, Some(50))]);
    // Live until the very start of the window: the first instant of down is the window's own.
    let at_start = found(&[(50, 100), (150, 250)], &[], &[]);
    assert_eq!(at_start, [outage(100, Some(150), 50, false, Some(50))]);
    let before = found(&[(50, 99), (150, 250)], &[], &[]);
    assert_eq!(before, [outage(100, Some(150), 50, true, Some(50))]);
    let never = found(&[], &[], &[]);
    assert_eq!(never, [outage(100, None, 100, true, None)]);
}

#[test]
fn exempt_time_before_it_hides_how_it_began_unless_up_was_seen() {
    // Live until the window's start, but the first instant of down comes later, and no instant of up before it.
    for (excluded, unknown) in [([(100, 120)].as_slice(), [].as_slice()), (&[], &[(100, 120)])] {
        let hidden = found(&[(50, 100)], excluded, unknown);
        assert_eq!(hidden, [outage(120, None, 80, true, Some(50))]);
        let seen = found(&[(50, 101)], &[(101, 120)], &[]);
        assert_eq!(seen, [outage(120, None, 80, false, Some(50))]);
    }
}

#[test]
fn exempt_time_inside_neither_ends_nor_lengthens_it() {
    let one = found(&[(50, 110), (180, 250)], &[(120, 130)], &[(140, 150)]);
    assert_eq!(one, [outage(110, Some(180), 50, false, Some(50))]);
    // Live again only while nobody has to look: not up. But it was heard of, and is given the ten seconds that its beat is good for.
    let hidden = found(&[(50, 110), (120, 130)], &[(115, 135)], &[]);
    assert_eq!(hidden, [outage(110, None, 60, false, Some(50))]);
}

#[test]
fn no_exempt_time_trails_it() {
    let before_up = found(&[(50, 110), (150, 250)], &[(140, 150)], &[]);
    assert_eq!(before_up, [outage(110, Some(140), 30, false, Some(50))]);
    let before_the_end = found(&[(50, 110)], &[], &[(180, 200)]);
    assert_eq!(before_the_end, [outage(110, Some(180), 70, false, Some(50))]);
}

#[test]
fn two_outages_have_up_time_between_them() {
    let two = found(&[(50, 110), (120, 130)], &[], &[]);
    assert_eq!(
        two,
        [
            outage(110, Some(120), 10, false, Some(50)),
            outage(130, None, 70, false, Some(120))
        ]
    );
}
