//! HTTP and TCP on 127.0.0.1, for readiness checks and the demo.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Opens a TCP connection to 127.0.0.1 and closes it.
///
/// # Errors
/// When nothing accepts it within half a second.
pub(crate) fn connect(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_millis(500))
        .map(drop)
        .with_context(|| format!("nothing accepts connections on {address}"))
}

/// A client that returns answers of any status and waits `limit` for each.
#[must_use]
pub fn client(limit: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(limit))
        .build()
        .into()
}

/// The body of a 2xx answer.
///
/// # Errors
/// When there is none within two seconds, or its status is another.
pub fn get(url: &str, headers: &[(&str, &str)]) -> Result<String> {
    let mut request = client(Duration::from_secs(2)).get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request
        .call()
        .with_context(|| format!("GET {url} failed"))?;
    let body = response.body_mut().read_to_string().unwrap_or_default();
    if !response.status().is_success() {
        bail!("GET {url} answered {}: {body}", response.status());
    }
    Ok(body)
}
