//! Cancel requests that are known to have arrived.
//!
//! PostgreSQL answers a cancel request by closing its connection, after it has signalled the session. Only then may the
//! session run somebody else's statement: the cancel would hit that one otherwise. The client library does not wait.

use crate::error::Error;
use crate::settings::Settings;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How to cancel what a session runs.
#[derive(Clone)]
pub(crate) struct Canceller {
    token: CancelToken,
    tls: Option<MakeRustlsConnect>,
    host: String,
    port: u16,
    timeout: Duration,
}

impl Canceller {
    pub(crate) fn new(token: CancelToken, tls: Option<MakeRustlsConnect>, settings: &Settings) -> Self {
        Canceller {
            token,
            tls,
            host: settings.host.clone(),
            port: settings.port,
            timeout: settings.connect_timeout,
        }
    }

    /// Cancels it. When this returns, PostgreSQL has signalled the session, and a later statement is safe.
    pub(crate) async fn cancel(&self) -> Result<(), Error> {
        let sent = tokio::time::timeout(self.timeout, async {
            if self.host.starts_with('/') {
                let path = format!("{}/.s.PGSQL.{}", self.host, self.port);
                self.send(UnixStream::connect(path).await).await
            } else {
                self.send(TcpStream::connect((self.host.as_str(), self.port)).await)
                    .await
            }
        });
        sent.await.map_err(|_| Error::ConnectTimeout(self.timeout.as_secs()))?
    }

    async fn send<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: io::Result<S>,
    ) -> Result<(), Error> {
        let stream = stream.map_err(|error| Error::Server(format!("cancel request: {error}")))?;
        let stream = UntilClosed(stream);
        match &self.tls {
            None => self.token.cancel_query_raw(stream, NoTls).await?,
            Some(connector) => {
                let mut connector = connector.clone();
                let tls = MakeTlsConnect::<UntilClosed<S>>::make_tls_connect(&mut connector, &self.host);
                let tls = tls.map_err(|error| Error::Server(format!("cancel request: {error}")))?;
                self.token.cancel_query_raw(stream, tls).await?;
            }
        }
        Ok(())
    }
}

/// A stream whose shutdown ends when the other side has closed it.
struct UntilClosed<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilClosed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilClosed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rest = [0_u8; 64];
        loop {
            let mut buffer = ReadBuf::new(&mut rest);
            // A connection that is reset is closed as well.
            let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
