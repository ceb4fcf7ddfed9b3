//! A stream that runs: its query is asked again and again, and an answer is sent where it differs from the one before.

use super::PERIOD;
use super::channel::Channel;
use super::running::Slot;
use crate::frame::Frame;
use crate::pool::Pools;
use crate::settings::Settings;
use grafana_plugin_sdk::pluginv2::StreamPacket;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Status;

/// A running stream.
pub(super) struct LiveQuery {
    pub(super) channel: Channel,
    pub(super) settings: Arc<Settings>,
    pub(super) pools: Pools,
    pub(super) stopped: watch::Receiver<bool>,
    /// The last answer that was sent.
    pub(super) sent: Option<Value>,
    pub(super) _slot: Slot,
}

impl LiveQuery {
    /// The next thing to send, when there is something new; none when the plugin ends.
    pub(super) async fn next(mut self) -> Option<(Result<StreamPacket, Status>, Self)> {
        loop {
            let mut stopped = self.stopped.clone();
            let frame = tokio::select! {
                frame = self.ask() => frame,
                _ = stopped.wait_for(|stop| *stop) => return None,
            };
            if self.sent.as_ref() != Some(&frame) {
                let data = frame.to_string().into_bytes();
                self.sent = Some(frame);
                return Some((Ok(StreamPacket { data }), self));
            }
        }
    }

    /// The answer now; where it fails, the last one with a notice of the reason.
    async fn ask(&self) -> Value {
        if self.sent.is_some() {
            tokio::time::sleep(PERIOD).await;
        }
        match self.channel.frame(&self.pools, &self.settings).await {
            Ok(frame) => frame.to_json(),
            Err(error) => {
                let problem = error.message();
                tracing::info!(error = problem, "a stream's query failed");
                let mut last = self.sent.clone().unwrap_or_else(|| Frame::default().to_json());
                last["schema"]["meta"]["notices"] =
                    json!([{"severity": "warning", "text": format!("No longer up to date: {problem}")}]);
                last
            }
        }
    }
}
