//! `/metrics` and `/health`, for those who ask: a server of two pages.

use crate::error::Error;
use crate::runtime::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Who has not asked by then is not answered.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_REQUEST: usize = 8 << 10;
/// Askers at the same time.
const ASKERS: usize = 16;

/// Listens; an address that others can reach must be allowed in so many words, for there is no password.
pub async fn listen(address: SocketAddr, public: bool) -> Result<TcpListener, Error> {
    if !address.ip().is_loopback() && !public {
        let problem = format!("{address} can be reached from other machines");
        return Err(Error::setting(
            "--metrics-listen",
            problem,
            "use 127.0.0.1, or allow it with --metrics-public",
        ));
    }
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "serving /metrics and /health");
    Ok(listener)
}

/// Answers for ever.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let askers = Arc::new(Semaphore::new(ASKERS));
    loop {
        let Ok(permit) = askers.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    // Whoever hangs up or dawdles gets no answer, and nobody else minds.
                    _ = tokio::time::timeout(PATIENCE, answer(stream, &metrics)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to /metrics");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > LONGEST_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = String::from_utf8_lossy(request.split(|&byte| byte == b'\r').next().unwrap_or_default()).into_owned();
    stream.write_all(respond(&line, metrics).as_bytes()).await?;
    stream.shutdown().await
}

/// The whole answer to a request line.
fn respond(line: &str, metrics: &Metrics) -> String {
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", text, metrics.prometheus()),
        ("GET" | "HEAD", "/health") => {
            let (well, body) = metrics.health();
            (
                if well { "200 OK" } else { "503 Service Unavailable" },
                "application/json",
                body,
            )
        }
        ("GET" | "HEAD", _) => ("404 Not Found", text, "there are /metrics and /health\n".to_owned()),
        _ => ("405 Method Not Allowed", text, "only GET is answered\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method == "HEAD" { head } else { head + &body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn pages() {
        let metrics = Metrics::default();
        metrics.stored.store(7, Relaxed);
        assert!(respond("GET /metrics HTTP/1.1", &metrics).contains("\niot_kpi_collector_stored_total 7\n"));
        assert!(respond("GET /health HTTP/1.1", &metrics).contains("\"status\":\"spooling\""));
        metrics.losing.store(true, Relaxed);
        assert!(respond("GET /health?x HTTP/1.1", &metrics).starts_with("HTTP/1.1 503"));
        assert!(respond("GET / HTTP/1.1", &metrics).starts_with("HTTP/1.1 404"));
        assert!(respond("POST /metrics HTTP/1.1", &metrics).starts_with("HTTP/1.1 405"));
        assert!(respond("", &metrics).starts_with("HTTP/1.1 405"));
        assert!(respond("HEAD /metrics HTTP/1.1", &metrics).ends_with("\r\n\r\n"));
    }

    #[tokio::test]
    async fn only_loopback_unless_allowed() {
        let anywhere = "0.0.0.0:0".parse().unwrap();
        assert!(
            listen(anywhere, false)
                .await
                .unwrap_err()
                .to_string()
                .contains("--metrics-public")
        );
        assert!(listen(anywhere, true).await.is_ok());
        assert!(listen("127.0.0.1:0".parse().unwrap(), false).await.is_ok());
    }
}
