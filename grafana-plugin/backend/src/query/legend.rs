//! The name of a series by a template of the user's, such as `{{device}} {{kpi}}`.

use crate::error::Error;

/// Most characters of a template, and of what becomes of it: more than any panel shows.
const LONGEST: usize = 1_000;

/// Fails where a template is too long.
pub(super) fn check(template: &str) -> Result<(), Error> {
    let length = template.chars().count();
    if length > LONGEST {
        return Err(Error::Query(format!(
            "the legend has {length} characters; shorten it to {LONGEST} at most"
        )));
    }
    Ok(())
}

/// The template with words in double braces replaced, each once; words that mean nothing stay as they are.
pub(super) fn name<'a>(template: &str, meaning: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut name = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(close) = rest.find("}}") {
        let found = rest[..close].rfind("{{");
        match found.and_then(|open| Some((open, meaning(&rest[open + 2..close])?))) {
            Some((open, value)) => {
                name.push_str(&rest[..open]);
                name.push_str(value);
            }
            None => name.push_str(&rest[..close + 2]),
        }
        rest = &rest[close + 2..];
    }
    name.push_str(rest);
    if let Some((end, _)) = name.char_indices().nth(LONGEST) {
        name.truncate(end);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(template: &str) -> String {
        name(template, |word| match word {
            "device" => Some("pump {{kpi}}"),
            "kpi" => Some("Uptime"),
            "größe" => Some("2 m"),
            _ => None,
        })
    }

    #[test]
    fn words_in_braces_are_replaced_once() {
        for (template, expected) in [
            ("{{kpi}} of {{device}}", "Uptime of pump {{kpi}}"),
            ("{{größe}}", "2 m"),
            ("{{nonsense}} {{kpi}}", "{{nonsense}} Uptime"),
            ("{{a {{kpi}} b}}", "{{a Uptime b}}"),
            ("}} {{ {{{kpi}}}", "}} {{ {Uptime}"),
            ("", ""),
        ] {
            assert_eq!(named(template), expected, "{template}");
        }
    }

    #[test]
    fn a_name_is_no_longer_than_can_be_shown() {
        let long = "{{device}}".repeat(100);
        assert!(check(&long).is_ok());
        assert_eq!(named(&long).chars().count(), LONGEST);
        for most in [
            "{{device}}".repeat(400_000),
            "{{".repeat(2_000_000),
            "}}".repeat(2_000_000),
        ] {
            assert!(check(&most).unwrap_err().to_string().contains("shorten it"));
        }
    }
}
