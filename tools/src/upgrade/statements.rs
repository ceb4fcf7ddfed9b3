//! SQL in statements, each with what it is about.

use anyhow::{Context, Result, bail};

/// A statement, without its semicolon and the comments before it.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) kind: Kind,
    /// What it is about, as in `FUNCTION iot_kpi.setting(text)`; the whole text where that says it best.
    pub(super) key: String,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A function, procedure or aggregate, with what `CREATE OR REPLACE` cannot change: everything before its body and options.
    Routine(String),
    /// The comment of that object.
    Comment(String),
    /// Anything else.
    Other,
}

/// Takes SQL apart.
pub(super) fn read(sql: &str) -> Result<Vec<Statement>> {
    let texts = split(sql)?;
    let mut statements = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        let words: Vec<&str> = text.split_whitespace().take(4).collect();
        let (kind, key) = match words.as_slice() {
            ["CREATE", "FUNCTION" | "PROCEDURE" | "AGGREGATE", ..] => routine(text, &texts[place..])?,
            // A type that is announced before the functions it is made of.
            ["CREATE", "TYPE", name] => (Kind::Other, format!("TYPE {name} (announced)")),
            ["CREATE", "TYPE", name, ..] => (Kind::Other, format!("TYPE {name}")),
            ["COMMENT", "ON", ..] => {
                let object = commented(text).with_context(|| format!("not understood: {text}"))?;
                (Kind::Comment(object.to_owned()), format!("COMMENT ON {object}"))
            }
            ["CREATE", "OR", "REPLACE", ..] => bail!("the files of sql/ create, they replace nothing: {text}"),
            _ => (Kind::Other, text.clone()),
        };
        statements.push(Statement {
            text: text.clone(),
            kind,
            key,
        });
    }
    Ok(statements)
}

/// What a `COMMENT ON` is about.
fn commented(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("COMMENT ON ")?;
    Some(rest[..rest.find(" IS")?].trim_end())
}

/// Its signature stands in the comment that follows.
fn routine(text: &str, from_here: &[String]) -> Result<(Kind, String)> {
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    let name = words[2].split('(').next().unwrap_or_default();
    let wanted = format!("{} {name}(", words[1]);
    let key = from_here
        .iter()
        .filter_map(|s| commented(s))
        .find(|o| o.starts_with(&wanted));
    let key = key.with_context(|| format!("{name} has no COMMENT after it"))?;
    let head = match words[1] {
        // Of an aggregate everything but its parameters can be replaced.
        "AGGREGATE" => text[..text.find(") (").unwrap_or(text.len())].to_owned(),
        _ => text[..end_of_head(text)].to_owned(),
    };
    let head = head.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok((Kind::Routine(head), key.to_owned()))
}

/// Where parameters and result end: before `LANGUAGE`, outside of parentheses.
fn end_of_head(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            'L' if depth == 0 && text[at..].starts_with("LANGUAGE ") => return at,
            _ => {}
        }
    }
    text.len()
}

/// The statements' texts. Semicolons in quotes, in `$tag$` bodies, between `BEGIN ATOMIC` and its `END`, and in comments end
/// nothing.
fn split(sql: &str) -> Result<Vec<String>> {
    let (mut texts, mut text) = (Vec::new(), String::new());
    // How deep inside a body: its own END comes after those of every CASE in it.
    let mut depth = 0_u32;
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        } else if rest.starts_with("/*") {
            rest = &rest[block_comment(rest)?..];
            continue;
        } else if c == ';' && depth == 0 {
            finish(&mut texts, &mut text);
            rest = &rest[1..];
            continue;
        } else if c == '\'' || c == '"' {
            let end = rest[1..].find(c);
            end.with_context(|| format!("a {c} without its end: {text}"))? + 2
        } else if let Some(tag) = dollar_tag(rest) {
            let end = rest[tag.len()..].find(tag);
            end.with_context(|| format!("a {tag} without its end: {text}"))? + 2 * tag.len()
        } else if c.is_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
            let word = &rest[..end.unwrap_or(rest.len())];
            match word {
                "ATOMIC" if text.ends_with("BEGIN ") => depth = 1,
                "CASE" if depth > 0 => depth += 1,
                "END" if depth > 0 => depth -= 1,
                _ => {}
            }
            word.len()
        } else {
            c.len_utf8()
        };
        text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    finish(&mut texts, &mut text);
    Ok(texts)
}

fn finish(texts: &mut Vec<String>, text: &mut String) {
    let whole = std::mem::take(text);
    if !whole.trim().is_empty() {
        texts.push(whole.trim().to_owned());
    }
}

/// The length of a comment, which may hold others.
fn block_comment(rest: &str) -> Result<usize> {
    let mut depth = 0;
    for (at, _) in rest.char_indices() {
        if rest[at..].starts_with("/*") {
            depth += 1;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return Ok(at + 2);
            }
        }
    }
    bail!("a comment without its end")
}

/// `$$` or `$tag$`, where one stands here.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest.strip_prefix('$')?.find('$')? + 2;
    let tag = &rest[..end];
    let inner = &tag[1..end - 1];
    let word =
        inner.chars().all(|c| c.is_alphanumeric() || c == '_') && !inner.starts_with(|c: char| c.is_ascii_digit());
    word.then_some(tag)
}
