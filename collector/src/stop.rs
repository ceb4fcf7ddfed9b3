//! SIGTERM and SIGINT ask for an end, and so may a part of the program; everybody who holds a [`Stop`] hears it.

use crate::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether an end was asked for.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: watch::Receiver<bool>,
    ask: Arc<watch::Sender<bool>>,
}

impl Stop {
    /// Listens for the signals from now on.
    pub fn on_signals() -> Result<Self, Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        let (sender, asked) = watch::channel(false);
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
        Ok(Stop { asked, ask: sender })
    }

    /// Hears no signals, only [`Stop::ask`].
    pub fn within() -> Self {
        let (sender, asked) = watch::channel(false);
        let ask = Arc::new(sender);
        Stop { asked, ask }
    }

    /// Asks for it from inside.
    pub fn ask(&self) {
        self.ask.send_replace(true);
    }

    /// Whether it has been asked for.
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Returns when it is asked for.
    pub async fn asked(&mut self) {
        if self.asked.wait_for(|asked| *asked).await.is_err() {
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
