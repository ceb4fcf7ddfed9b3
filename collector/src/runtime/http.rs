//! `/metrics` and `/health`, for those who ask: a server of two pages.

use crate::error::Error;
use crate::runtime::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::prometheus_text;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Who has not asked by then is not answered.
const PATIENCE: Duration = Duration::from_secs(5);
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
    let (pages, askers) = (pages(metrics), Arc::new(Semaphore::new(ASKERS)));
    loop {
        let Ok(permit) = askers.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = TowerToHyperService::new(pages.clone());
                tokio::spawn(async move {
                    let answer = http1::Builder::new()
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(stream), pages);
                    // Whoever hangs up or dawdles gets no answer, and nobody else minds.
                    _ = tokio::time::timeout(PATIENCE, answer).await;
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

fn pages(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(prometheus))
        .route("/health", get(health))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there are /metrics and /health\n") })
        .method_not_allowed_fallback(|| async { (StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n") })
        .with_state(metrics)
}

async fn prometheus(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], metrics.prometheus())
}

async fn health(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let (well, body) = metrics.health();
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [(CONTENT_TYPE, "application/json")], body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn asked(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn two_pages() {
        let metrics = Arc::new(Metrics::default());
        let listener = listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, metrics.clone()));
        metrics.stored.inc_by(7);
        let page = asked(address, "GET /metrics").await;
        assert!(
            page.starts_with("HTTP/1.1 200") && page.contains("text/plain; version=0.0.4"),
            "{page}"
        );
        assert!(page.contains("\niot_kpi_collector_stored_total 7\n"), "{page}");
        assert!(asked(address, "GET /health").await.contains("\"status\":\"spooling\""));
        metrics.losing.store(true, Relaxed);
        for (request, begins) in [
            ("GET /health?x", "HTTP/1.1 503"),
            ("GET /", "HTTP/1.1 404"),
            ("POST /metrics", "HTTP/1.1 405"),
            ("nonsense", "HTTP/1.1 400"),
        ] {
            let answer = asked(address, request).await;
            assert!(answer.starts_with(begins), "{request}: {answer}");
        }
        let head = asked(address, "HEAD /metrics").await;
        assert!(
            head.contains("content-length: ") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        // Who does not ask keeps nobody from asking.
        let _silent = TcpStream::connect(address).await.unwrap();
        assert!(asked(address, "GET /metrics").await.starts_with("HTTP/1.1 200"));
        server.abort();
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
