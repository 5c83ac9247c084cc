//! Outbound HTTP: `wasi:http/outgoing-handler`, limited to `allowed_outbound_hosts`, and calls between components.

use std::error::Error as StdError;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout};
use tower_service::Service;
use wasmtime_wasi_http::bindings::http::types::DnsErrorPayload;
use wasmtime_wasi_http::bindings::http::types::ErrorCode as Error;
use wasmtime_wasi_http::body::HyperOutgoingBody as WasiBody;
use wasmtime_wasi_http::hyper_response_error;
use wasmtime_wasi_http::types::{
    HostFutureIncomingResponse, IncomingResponse, OutgoingRequestConfig,
};

use crate::allowed_hosts::chained_component;
use crate::host::Component;
use crate::server::Server;

/// How long a guest waits that says nothing else: for a connection, for an answer, for the next piece of a body.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The host under which an application calls itself.
const SELF_HOST: &str = "self.alt";

/// Outbound HTTP of one instance.
pub struct OutboundHttp {
    component: Arc<Component>,
    server: Arc<Server>,
}

impl OutboundHttp {
    /// Calls made on behalf of `component`.
    pub fn new(component: Arc<Component>, server: Arc<Server>) -> Self {
        Self { component, server }
    }

    /// Sends a request; what comes back is for the guest to wait for.
    pub fn send_request(
        &self,
        request: Request<WasiBody>,
        options: OutgoingRequestConfig,
    ) -> HostFutureIncomingResponse {
        let (component, server) = (self.component.clone(), self.server.clone());
        HostFutureIncomingResponse::pending(wasmtime_wasi::runtime::spawn(async move {
            let between_bytes_timeout = options.between_bytes_timeout;
            let response = send(&component, &server, request, options).await;
            Ok(response.map(|resp| IncomingResponse {
                resp,
                worker: None,
                between_bytes_timeout,
            }))
        }))
    }
}

async fn send(
    component: &Component,
    server: &Arc<Server>,
    mut request: Request<WasiBody>,
    options: OutgoingRequestConfig,
) -> Result<Response<WasiBody>, Error> {
    let host = request.uri().host().unwrap_or_default().to_owned();
    if host == SELF_HOST {
        if !component.allowed_hosts.allows_itself() {
            component.report_refused("http", "self");
            return Err(Error::HttpRequestDenied);
        }
        *request.uri_mut() = to_itself(server, request.uri().path_and_query().cloned())?;
    } else if !component
        .allowed_hosts
        .allows(&request.uri().to_string(), "https")
    {
        let scheme = request.uri().scheme_str().unwrap_or_default();
        component.report_refused(
            scheme,
            request.uri().authority().map_or("", Authority::as_str),
        );
        return Err(Error::HttpRequestDenied);
    }
    // The client sets it from the URI; on a call between components there is none, as in Spin.
    request.headers_mut().remove(HOST);
    if let Some(callee) = chained_component(&host) {
        let answer = server.answer_component_call(callee, request).await;
        return answer.map_err(|error| Error::InternalError(Some(format!("{error:#}"))));
    }
    let response = CONNECT_TIMEOUT.scope(options.connect_timeout, server.http.0.request(request));
    let response = timeout(options.first_byte_timeout, response)
        .await
        .map_err(|_| Error::ConnectionReadTimeout)?;
    Ok(response
        .map_err(request_error)?
        .map(|body| body.map_err(hyper_response_error).boxed_unsync()))
}

fn to_itself(server: &Server, path: Option<PathAndQuery>) -> Result<Uri, Error> {
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(server.address.to_string())
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build()
        .map_err(|_| Error::HttpRequestUriInvalid)
}

/// The error that the guest sees for a request that was not answered.
fn request_error(error: hyper_util::client::legacy::Error) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(ConnectError::Refused) => return Error::ConnectionRefused,
            Some(ConnectError::TimedOut) => return Error::ConnectionTimeout,
            Some(ConnectError::UnknownHost) => {
                let rcode = Some("address not available".to_owned());
                return Error::DnsError(DnsErrorPayload {
                    rcode,
                    info_code: Some(0),
                });
            }
            None if error.is::<rustls::Error>() => return Error::TlsProtocolError,
            None => cause = error.source(),
        }
    }
    Error::HttpProtocolError
}

/// The HTTP client of an application; it keeps connections.
pub struct HttpClient(Client<HttpsConnector<TcpConnector>, WasiBody>);

impl HttpClient {
    /// Plain HTTP/1.1; over TLS, HTTP/2 where the server has it.
    pub fn new() -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(TcpConnector);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

tokio::task_local! {
    /// The connect time-out of the request being sent: the client has no other way to pass it to its connector.
    static CONNECT_TIMEOUT: Duration;
}

#[derive(Clone)]
struct TcpConnector;

#[derive(Debug)]
enum ConnectError {
    UnknownHost,
    Refused,
    TimedOut,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownHost => "the host's address is not known",
            Self::Refused => "the connection was refused",
            Self::TimedOut => "connecting took too long",
        })
    }
}

impl StdError for ConnectError {}

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = CONNECT_TIMEOUT.try_get().unwrap_or(DEFAULT_TIMEOUT);
        Box::pin(async move {
            let default_port = if uri.scheme() == Some(&Scheme::HTTPS) {
                443
            } else {
                80
            };
            let authority = uri.authority().ok_or(ConnectError::UnknownHost)?;
            let address = format!(
                "{}:{}",
                authority.host(),
                authority.port_u16().unwrap_or(default_port)
            );
            let addresses: Vec<_> = tokio::net::lookup_host(address)
                .await
                .map_err(|_| ConnectError::UnknownHost)?
                .collect();
            let connected = timeout(limit, TcpStream::connect(&*addresses))
                .await
                .map_err(|_| ConnectError::TimedOut)?;
            connected
                .map(TokioIo::new)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::AddrNotAvailable => ConnectError::UnknownHost,
                    _ => ConnectError::Refused,
                })
        })
    }
}

/// A body that fails when its next piece does not come in time.
pub struct TimedBody<B> {
    body: B,
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<B> TimedBody<B> {
    /// `limit` is counted while a piece is waited for.
    pub fn new(body: B, limit: Duration) -> Self {
        Self {
            body,
            limit,
            sleep: Box::pin(tokio::time::sleep(limit)),
            waiting: false,
        }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for TimedBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = pin!(&mut self.body).poll_frame(cx) {
            self.waiting = false;
            return Poll::Ready(frame);
        }
        if !self.waiting {
            let deadline = Instant::now() + self.limit;
            self.sleep.as_mut().reset(deadline);
            self.waiting = true;
        }
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
