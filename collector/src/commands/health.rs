//! `health`: asks a running `simulate` how it is. An image without a shell has nothing else to ask with.

use crate::error::Error;
use crate::settings::Health;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) async fn run(wanted: &Health) -> Result<(), Error> {
    let address = reachable(wanted.metrics_listen);
    let unwell = |problem: String| Error::Unwell { address, problem };
    let answer = match tokio::time::timeout(PATIENCE, ask(address)).await {
        Ok(answer) => answer.map_err(|error| unwell(format!("does not answer ({error})")))?,
        Err(_) => return Err(unwell(format!("does not answer within {} s", PATIENCE.as_secs()))),
    };
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    if answer.starts_with("HTTP/1.1 200 ") {
        println!("{body}");
        return Ok(());
    }
    let line = answer.lines().next().unwrap_or_default();
    Err(unwell(format!("says {line:?} {body}")))
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Who listens everywhere is asked here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
