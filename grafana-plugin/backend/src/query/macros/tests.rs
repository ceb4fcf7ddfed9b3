//! What each macro becomes, what is refused, and that no text whatever takes long or ends the process.

use super::replacement::instant;
use super::*;
use chrono::DateTime;
use proptest::prelude::*;
use std::time::Duration;

fn expand_it(sql: &str) -> Result<Expanded, Error> {
    let call = Call {
        from: DateTime::from_timestamp_millis(1_704_067_200_000).unwrap(),
        to: DateTime::from_timestamp_millis(1_704_070_800_000).unwrap(),
        interval: Duration::from_secs(60),
        max_points: 100,
        is_alert: false,
    };
    expand(sql, &call)
}

#[test]
fn every_macro_becomes_sql() {
    let cases = [
        ("$__timeFrom()", "timestamptz '2024-01-01T00:00:00.000Z'"),
        ("$__timeTo()", "timestamptz '2024-01-01T01:00:00.000Z'"),
        (
            "$__timeFilter(m.time)",
            "(m.time >= timestamptz '2024-01-01T00:00:00.000Z' AND m.time < timestamptz '2024-01-01T01:00:00.000Z')",
        ),
        ("$__time(t)", "t AS \"time\""),
        ("$__timeEpoch(t)", "extract(epoch FROM t) AS \"time\""),
        ("$__interval", "60000ms"),
        ("$__interval_ms", "60000"),
        ("$__unixEpochFrom() $__unixEpochTo()", "1704067200 1704070800"),
        ("$__unixEpochFilter(e)", "(e >= 1704067200 AND e < 1704070800)"),
        ("$__unixEpochNanoFrom()", "1704067200000000000"),
        ("$__unixEpochGroup(e, 5m)", "to_timestamp(floor(e / 300) * 300)"),
        (
            "$__timeGroupAlias(f(a, b), $__interval)",
            "to_timestamp(floor(extract(epoch FROM f(a, b)) / 60) * 60) AS \"time\"",
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(expand_it(sql).unwrap().sql, expected, "{sql}");
    }
}

#[test]
fn a_time_group_says_how_gaps_are_filled() {
    let grid = |sql: &str| expand_it(sql).unwrap().grid;
    let filled = |filling| {
        Some(Grid {
            seconds: 300.0,
            filling,
        })
    };
    assert_eq!(grid("$__timeGroup(t, '5m')"), None);
    assert_eq!(grid("$__timeGroup(t, 5m, NULL)"), filled(Filling::Null));
    assert_eq!(grid("$__timeGroup(t, 5m, previous)"), filled(Filling::Previous));
    assert_eq!(grid("$__timeGroup(t, 5m, 0)"), filled(Filling::Value(0.0)));
}

#[test]
fn a_wrong_macro_is_named() {
    for bad in [
        "$__nonsense()",
        "$__timeFilter()",
        "$__timeGroup(t)",
        "$__timeGroup(t, 5x)",
        "$__timeFilter(t",
    ] {
        let error = expand_it(bad).unwrap_err().to_string();
        assert!(error.contains("__") || error.contains("5x"), "{bad}: {error}");
    }
}

#[test]
fn macros_in_macros_are_replaced_from_the_inside() {
    for (sql, expected) in [
        ("$__time($__unixEpochFrom())", "1704067200 AS \"time\""),
        (
            "$__timeGroup(t, '$__interval')",
            "to_timestamp(floor(extract(epoch FROM t) / 60) * 60)",
        ),
        ("$__time(f(')', g(a, b)))", "f(')', g(a, b)) AS \"time\""),
        (
            "($__timeEpoch(a), b) $__interval(x)",
            "(extract(epoch FROM a) AS \"time\", b) 60000ms(x)",
        ),
        (
            "$__timeEpoch(ä, ö) – '$__timeFrom'",
            "extract(epoch FROM ä) AS \"time\" – 'timestamptz '2024-01-01T00:00:00.000Z''",
        ),
    ] {
        assert_eq!(expand_it(sql).unwrap().sql, expected, "{sql}");
    }
    let nested = |depth: usize| "$__time(".repeat(depth) + "t" + &")".repeat(depth);
    assert_eq!(
        expand_it(&nested(DEEPEST)).unwrap().sql,
        "t".to_owned() + &" AS \"time\"".repeat(DEEPEST)
    );
    let error = expand_it(&nested(DEEPEST + 1)).unwrap_err().to_string();
    assert!(
        error.contains("$__time( stands in 5 other macros") && error.contains("write some of them out"),
        "{error}"
    );
}

/// A text of some megabytes, made of a few bytes again and again.
fn long(parts: &[(&str, usize)]) -> String {
    parts.iter().map(|(text, times)| text.repeat(*times)).collect()
}

#[test]
fn megabytes_are_read_or_refused_with_a_reason_and_end_nothing() {
    const MANY: usize = 1_000_000;
    for (sql, word) in [
        (long(&[("$__f(", MANY)]), "stands in 5 other macros"),
        (
            long(&[("$__time(", MANY), ("t", 1), (")", MANY)]),
            "stands in 5 other macros",
        ),
        (long(&[("$__timeFilter('", MANY)]), "stands in 5 other macros"),
        (
            long(&[("$__time(", 1), ("(", 4 * MANY)]),
            "$__time( has no closing bracket",
        ),
        (
            long(&[("$__time(", 5), ("'", 4 * MANY + 1)]),
            "$__time( has no closing bracket",
        ),
        (long(&[("$__", 1), ("x", 4 * MANY)]), "… is not known"),
        (
            long(&[("$__timeGroup(t, ", 1), ("9", 4 * MANY), (")", 1)]),
            "is no duration",
        ),
        (
            long(&[("$__timeGroup(t, 5m, ", 1), ("ü", 2 * MANY), (")", 1)]),
            "gaps are filled by",
        ),
        // Each of five may double what stands in it.
        (long(&[("$__timeFilter(", 5), ("t", MANY), (")", 5)]), "shorten it"),
        (long(&[("$__timeFrom()", 2 * MANY)]), "shorten it"),
    ] {
        let error = expand_it(&sql).unwrap_err().to_string();
        assert!(
            error.contains(word) && error.len() < 500,
            "{}: {}",
            &sql[..30],
            shown(&error)
        );
    }
    for (sql, length) in [
        (
            long(&[("$__time(f", 1), ("(", MANY), (")", MANY), (")", 1)]),
            2 * MANY + 11,
        ),
        (
            long(&[("$__time(a", 1), (",", 4 * MANY), (")", 1)]),
            "a AS \"time\"".len(),
        ),
        (
            long(&[("$__timeFrom(", 1), ("$__unixEpochFrom(,,)", 100_000), (")", 1)]),
            instant(DateTime::UNIX_EPOCH).len(),
        ),
        (long(&[("$ '(), é", MANY)]), 9 * MANY),
    ] {
        assert_eq!(expand_it(&sql).unwrap().sql.len(), length, "{}", &sql[..12]);
    }
}

/// SQL with macros, and what it becomes, written down a second time.
fn pair(depth: u32) -> BoxedStrategy<(String, String)> {
    let word = prop_oneof![
        "[a-zé .*+=]{0,6}".prop_map(|text| (text.clone(), text)),
        Just(("'it, ('".to_owned(), "'it, ('".to_owned())),
        Just(("$__interval ".to_owned(), "60000ms ".to_owned())),
        Just(("$__unixEpochTo()".to_owned(), "1704070800".to_owned())),
    ];
    if depth == 0 {
        return word.boxed();
    }
    let inner = pair(depth - 1);
    let both = (inner.clone(), inner).prop_map(|(a, b)| (a.0 + &b.0, a.1 + &b.1));
    let bracketed = both
        .clone()
        .prop_map(|(sql, becomes)| (format!("(1, {sql})"), format!("(1, {becomes})")));
    // An x, so that there is a column; what is written comes trimmed.
    let time = both.clone().prop_map(|(sql, becomes)| {
        (
            format!("$__time( x{sql}\n, y)"),
            format!("{} AS \"time\"", format!("x{becomes}").trim()),
        )
    });
    let filter = both.clone().prop_map(|(sql, becomes)| {
        let column = format!("x{becomes}").trim().to_owned();
        let becomes = format!("({column} >= 1704067200 AND {column} < 1704070800)");
        (format!("$__unixEpochFilter(x{sql})"), becomes)
    });
    prop_oneof![word, both, bracketed, time, filter].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_nested_becomes_what_its_parts_become((sql, becomes) in pair(4)) {
        prop_assert_eq!(expand_it(&sql).unwrap().sql, becomes);
    }

    #[test]
    fn any_text_is_read_or_refused(parts in prop::collection::vec(
        (prop_oneof![Just("$__timeFilter("), Just("$__f("), Just("$__timeGroup(t, 1m"), Just("("), Just(")"), Just("'"), Just(","),
                     Just("$__"), Just("interval"), Just(" é")], 1_usize..300), 0..40)) {
        let sql: String = parts.iter().map(|(text, times)| text.repeat(*times)).collect();
        if let Ok(expanded) = expand_it(&sql) {
            prop_assert!(!expanded.sql.contains("$__t"));
        }
    }
}
