//! Rows that the store will never take as they are: kept in a file that people can read, mend, and have sent again.
//!
//! One JSON object a line: `device_id`, `metric`, `time`, `value` of a sample, or `device_id`, `time`, `status`, `reason` of a
//! status; besides these `error`, `hint` and `refused_at`, which say why and when, and are not read again. A value that JSON has
//! no number for is a text: `"NaN"`, `"Infinity"`, `"-Infinity"`.

use crate::error::Error;
use crate::pipeline::batch::{Batch, Sample, StatusSample};
use crate::runtime::time_grid::{now, text};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A row, and why it was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// The row alone.
    pub row: Batch,
    /// The store's reason.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line {
    device_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    refused_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(String),
}

impl Letter {
    /// The line that stands for it, without its end.
    pub fn line(&self) -> String {
        let mut line = Line {
            error: self.error.clone(),
            hint: self.hint.clone(),
            refused_at: text(now()),
            ..Line::default()
        };
        if let Some(sample) = self.row.samples.first() {
            line.device_id = sample.device.to_string();
            line.time = text(sample.time);
            line.metric = Some(sample.metric.to_string());
            line.value = Some(match sample.value {
                value if value.is_finite() => Value::Number(value),
                value if value.is_nan() => Value::Text("NaN".to_owned()),
                value if value > 0.0 => Value::Text("Infinity".to_owned()),
                _ => Value::Text("-Infinity".to_owned()),
            });
        }
        if let Some(status) = self.row.statuses.first() {
            line.device_id = status.device.to_string();
            line.time = text(status.time);
            line.status = Some(status.status.to_string());
            line.reason = Some(status.reason.to_string());
        }
        // Texts and finite numbers always have a form in JSON.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The row that a line stands for.
    pub fn row_of(line: &str) -> Result<Batch, String> {
        let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let instant = DateTime::parse_from_rfc3339(&line.time);
        let time = instant
            .map_err(|_| format!("time {:?} is no instant as in 2026-01-31T00:00:00Z", line.time))?
            .timestamp_micros();
        let device = line.device_id.into();
        let mut row = Batch::default();
        match (line.metric, line.value, line.status) {
            (Some(metric), Some(value), None) => row.samples.push(Sample {
                device,
                metric: metric.into(),
                time,
                value: match value {
                    Value::Number(value) => value,
                    Value::Text(text) => text.parse().map_err(|_| format!("value {text:?} is no number"))?,
                },
            }),
            (None, None, Some(status)) => row.statuses.push(StatusSample {
                device,
                time,
                status: status.into(),
                reason: line.reason.unwrap_or_default().into(),
            }),
            _ => return Err("a line has either metric and value, or status".to_owned()),
        }
        Ok(row)
    }
}

/// What a file of dead letters holds.
#[derive(Debug, Default)]
pub struct Content {
    /// Each row alone.
    pub rows: Vec<Batch>,
    /// Lines that hold none: their numbers, from 1 on, and what is wrong with them.
    pub strangers: Vec<(usize, String)>,
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Content, Error> {
    let failed = || Error::file("read", path, "name a file of dead letters");
    let file = BufReader::new(File::open(path).map_err(failed())?);
    let mut content = Content::default();
    for (index, line) in file.lines().enumerate() {
        let line = line.map_err(failed())?;
        if line.trim().is_empty() {
            continue;
        }
        match Letter::row_of(&line) {
            Ok(row) => content.rows.push(row),
            Err(problem) => content.strangers.push((index + 1, problem)),
        }
    }
    Ok(content)
}

/// The file that rows are added to; it is made with the first of them.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    max: u64,
    /// One writer at a time; whether the last row found no room.
    full: Mutex<bool>,
}

impl DeadLetters {
    /// Of at most `max` bytes.
    pub fn new(path: PathBuf, max: u64) -> Self {
        DeadLetters {
            path,
            max,
            full: Mutex::new(false),
        }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds letters; they are on disk for good. Returns how many found room, which those behind them did not.
    pub fn keep(&self, letters: &[Letter]) -> Result<usize, Error> {
        // A panic elsewhere leaves nothing half done here: each call looks at the file anew.
        let mut full = self.full.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let failed = || {
            Error::file(
                "write",
                &self.path,
                "make room there, or name another file with --dead-letters",
            )
        };
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(failed())?;
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(failed())?;
        let length = file.metadata().map_err(failed())?.len();
        let mut lines = String::new();
        if length > 0 {
            // What a crash has torn off must not spoil the next line.
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1)).map_err(failed())?;
            file.read_exact(&mut last).map_err(failed())?;
            lines.push_str(if last == [b'\n'] { "" } else { "\n" });
        }
        let mut kept = 0;
        for letter in letters {
            let line = letter.line();
            if length + (lines.len() + line.len() + 1) as u64 > self.max {
                break;
            }
            lines.push_str(&line);
            lines.push('\n');
            kept += 1;
        }
        *full = kept < letters.len();
        if let Err(error) = file.write_all(lines.as_bytes()).and_then(|()| file.sync_data()) {
            // Whole lines or none; what cannot be cut off is a torn line.
            _ = file.set_len(length);
            return Err(failed()(error));
        }
        Ok(kept)
    }

    /// Whether rows found no room, and there still is none.
    pub fn is_full(&self) -> bool {
        let full = *self.full.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        full && std::fs::metadata(&self.path).is_ok_and(|file| file.len() > self.max / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(value: f64) -> Letter {
        let sample = Sample {
            device: "TEMP_001".into(),
            metric: "x".into(),
            time: 1_700_000_000_123_456,
            value,
        };
        Letter {
            row: Batch {
                samples: vec![sample],
                ..Batch::default()
            },
            error: "value is below the minimum".to_owned(),
            hint: "lower it".to_owned(),
        }
    }

    fn status() -> Letter {
        let status = StatusSample {
            device: "TEMP \"1\"\n".into(),
            time: -1,
            status: "asleep".into(),
            reason: "ä\u{0}".into(),
        };
        Letter {
            row: Batch {
                statuses: vec![status],
                ..Batch::default()
            },
            error: "unknown status".to_owned(),
            hint: String::new(),
        }
    }

    proptest! {
        #[test]
        fn a_value_comes_back_to_the_bit(bits: u64) {
            let value = f64::from_bits(bits);
            let again = Letter::row_of(&sample(value).line()).unwrap().samples[0].value;
            prop_assert!(again.to_bits() == bits || again.is_nan() && value.is_nan());
        }
    }

    #[test]
    fn letters_come_back_and_torn_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/dead-letters.jsonl");
        let letters = DeadLetters::new(path.clone(), 1 << 20);
        assert_eq!(letters.keep(&[sample(1.5), status()]).unwrap(), 2);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        assert_eq!(letters.keep(&[sample(2.5)]).unwrap(), 1);
        let Content { rows, strangers } = read(&path).unwrap();
        assert_eq!(rows, [sample(1.5).row, sample(2.5).row]);
        assert_eq!(strangers.len(), 1);
        assert_eq!(strangers[0].0, 2);
        assert!(Letter::row_of(&status().line()).unwrap() == status().row);
    }

    #[test]
    fn it_is_bounded_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead-letters.jsonl");
        let letters = DeadLetters::new(path.clone(), 1000);
        let many: Vec<Letter> = (0..50).map(|i| sample(f64::from(i))).collect();
        let kept = letters.keep(&many).unwrap();
        assert!(kept > 2 && kept < 50 && letters.is_full());
        assert!(std::fs::metadata(&path).unwrap().len() <= 1000);
        assert_eq!(letters.keep(&many).unwrap(), 0);
        // The first that fit are whole.
        assert_eq!(read(&path).unwrap().rows.len(), kept);
        std::fs::remove_file(&path).unwrap();
        assert!(!letters.is_full());
        assert_eq!(letters.keep(&many[..1]).unwrap(), 1);
    }

    #[test]
    fn what_is_no_row_is_named() {
        for (line, says) in [
            ("{", "EOF"),
            (r#"{"device_id":"a","time":"soon","metric":"m","value":1}"#, "soon"),
            (
                r#"{"device_id":"a","time":"2026-01-01T00:00:00Z","metric":"m"}"#,
                "either",
            ),
            (
                r#"{"device_id":"a","time":"2026-01-01T00:00:00Z","metric":"m","value":"x"}"#,
                "\"x\"",
            ),
            (r#"{"device":"a"}"#, "device"),
        ] {
            let problem = Letter::row_of(line).unwrap_err();
            assert!(problem.contains(says), "{line}: {problem}");
        }
    }
}
