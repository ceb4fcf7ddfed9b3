//! SIGTERM and SIGINT ask for an end, and so may a part of the program; everybody who holds a [`Shutdown`] hears it.

use crate::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether an end was asked for.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
    request: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    /// Listens for the signals from now on.
    pub fn on_signals() -> Result<Self, Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        let (sender, requested) = watch::channel(false);
        let sender = Arc::new(sender);
        let by_signal = sender.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "ending; what is in hand is written first");
            by_signal.send_replace(true);
            // Later signals are heard and change nothing: the end is under way and its time is limited.
            by_signal.closed().await;
        });
        Ok(Shutdown {
            requested,
            request: sender,
        })
    }

    /// Hears no signals, only [`Shutdown::request`].
    pub fn within() -> Self {
        let (sender, requested) = watch::channel(false);
        let request = Arc::new(sender);
        Shutdown { requested, request }
    }

    /// Asks for it from inside.
    pub fn request(&self) {
        self.request.send_replace(true);
    }

    /// Whether it has been asked for.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Returns when it is asked for.
    pub async fn requested(&mut self) {
        if self.requested.wait_for(|asked| *asked).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }

    /// Returns after a while, or when it is asked for.
    pub async fn or_after(&mut self, pause: Duration) {
        tokio::select! {
            () = self.requested() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
