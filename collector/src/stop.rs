//! SIGTERM and SIGINT ask for an end; everybody who holds a [`Stop`] hears it.

use crate::error::Error;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether an end was asked for.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for the signals from now on.
    pub fn on_signals() -> Result<Self, Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "ending; what is in hand is written first");
            sender.send_replace(true);
            // Later signals are heard and change nothing: the end is under way and its time is limited.
            sender.closed().await;
        });
        Ok(Stop(receiver))
    }

    /// For tests and embedders: an end is asked for by sending `true`.
    pub fn by_hand() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Stop(receiver))
    }

    /// Whether it has been asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is asked for.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }

    /// Returns after a while, or when it is asked for.
    pub async fn or_after(&mut self, pause: Duration) {
        tokio::select! {
            () = self.asked() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
