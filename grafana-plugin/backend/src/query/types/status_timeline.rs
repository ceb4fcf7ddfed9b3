//! Status timeline: each device's states, for the state-timeline panel.

use super::Answer;
use crate::error::Error;
use crate::frame::config::{FieldConfig, state_mappings};
use crate::frame::series::time_field;
use crate::frame::{Field, Frame, Labels};
use crate::query::alert;
use crate::query::ask::{Ask, MOST_SERIES};
use crate::statement::Statement;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{StringArray, TimestampNanosecondArray};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The query; the device filter is all there is to choose.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct StatusTimeline {}

/// A device's states and when each began; at the end of the last, no state.
#[derive(Default)]
struct Line {
    times: Vec<i64>,
    states: Vec<Option<String>>,
}

impl Answer for StatusTimeline {
    async fn frames(&self, ask: &mut Ask<'_>) -> Result<Vec<Frame>, Error> {
        if ask.call.is_alert {
            return Err(alert::refusal(
                "a status timeline is text",
                "ask KPI over time for availability, or Device KPIs for live",
            ));
        }
        let [from, to] = ask.window();
        let params = vec![from, to, ask.devices()];
        let table = ask
            .table(Statement::new(include_str!("../../../sql/status_timeline.sql"), params))
            .await?;
        let [devices, started, ended, states] = table.columns.as_slice() else {
            return Err(Error::Query(
                "status_periods has other columns than this plugin knows".to_owned(),
            ));
        };
        let (devices, states) = (devices.array.as_string::<i32>(), states.array.as_string::<i32>());
        let started = started.array.as_primitive::<TimestampNanosecondType>();
        let ended = ended.array.as_primitive::<TimestampNanosecondType>();
        let mut frames = Vec::new();
        let (mut row, mut found) = (0, 0);
        while row < table.rows {
            let device = devices.value(row);
            let mut line = Line::default();
            while row < table.rows && devices.value(row) == device {
                line.times.push(started.value(row));
                line.states.push(Some(states.value(row).to_owned()));
                row += 1;
            }
            // So that the last state is not painted into the future.
            line.times.push(ended.value(row - 1));
            line.states.push(None);
            found += 1;
            if found <= MOST_SERIES {
                frames.push(frame(ask, device, line));
            }
        }
        ask.series_shown(found);
        Ok(frames)
    }
}

fn frame(ask: &Ask<'_>, device: &str, line: Line) -> Frame {
    let labels = Labels::from([("device_id".to_owned(), device.to_owned())]);
    let name = ask.legend(device, device, "status", &labels);
    let mut frame = Frame {
        name: name.clone(),
        fields: vec![
            time_field(Arc::new(TimestampNanosecondArray::from(line.times))),
            Field {
                name: "status".to_owned(),
                labels,
                config: FieldConfig {
                    mappings: state_mappings(),
                    ..FieldConfig::default().named(name)
                },
                array: Arc::new(StringArray::from(line.states)),
            },
        ],
        ..Frame::default()
    };
    // Explore draws it as a graph otherwise, which wants numbers.
    frame.meta.preferred_visualisation_plugin_id = Some("state-timeline");
    frame
}
