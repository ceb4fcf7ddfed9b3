//! JSON that people send: read whole, with a limit on the number of its values.
//!
//! Two bytes of JSON become a value of dozens of bytes in memory, so the length of the text is no limit of its cost. How deep values
//! are nested, the parser limits itself.

use serde_json::Value;

/// Most values, in whatever list or object.
pub(crate) const MOST_VALUES: usize = 200_000;

/// Reads it.
///
/// # Errors
/// When it is no JSON, or too much of it; the message says what and where.
pub(crate) fn parse(json: &[u8]) -> Result<Value, String> {
    if values(json) > MOST_VALUES {
        return Err(format!("it has more than {MOST_VALUES} values; ask for fewer at once"));
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// At least as many values as are there: each but the first has a comma, a colon or an opening bracket before it.
fn values(json: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b':' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_where_they_are_and_not_in_texts() {
        for (json, count) in [
            (r#"1"#, 1),
            (r#"[]"#, 2),
            (r#"{"a": [1, 2, {"b": null}]}"#, 8),
            (r#""[,,,\",:{""#, 1),
            (r#"["\\", 1]"#, 3),
        ] {
            assert_eq!(values(json.as_bytes()), count, "{json}");
        }
    }

    #[test]
    fn megabytes_are_read_or_refused_with_a_reason() {
        let many = |text: &str, times: usize| text.repeat(times).into_bytes();
        for (json, word) in [
            (many("[", 4_000_000), "more than 200000 values"),
            (many("[", 100_000), "recursion limit"),
            (many("{\"a\":", 50_000), "recursion limit"),
            (many("[0,", 1_000_000), "more than 200000 values"),
            (many(",", 1_000_000), "more than 200000 values"),
            (many("\"", 4_000_001), "trailing characters"),
            (many("\\", 4_000_000), "expected value"),
            (many("9", 4_000_000), "number out of range"),
        ] {
            let problem = parse(&json).unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
        assert!(parse(format!("[{}0]", "0,".repeat(MOST_VALUES - 3)).as_bytes()).is_ok());
        let text = format!("\"{}\"", "[,\\\"{".repeat(2_000_000));
        assert_eq!(parse(text.as_bytes()).unwrap().as_str().map(str::len), Some(8_000_000));
        let deep = "[".repeat(127) + &"]".repeat(127);
        assert!(parse(deep.as_bytes()).is_ok());
    }
}
