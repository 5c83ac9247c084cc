//! The HTTP server: finds the trigger of a request, and runs a new instance of its component for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::bindings::http::types::Scheme as GuestScheme;
use wasmtime_wasi_http::body::HyperOutgoingBody as WasiBody;
use wasmtime_wasi_http::hyper_request_error;

use crate::allowed_hosts::chained_component;
use crate::host::{Component, Instance};
use crate::manifest::{Manifest, StaticResponse, Target};
use crate::outbound_http::{DEFAULT_TIMEOUT, HttpClient, TimedBody};
use crate::postgres::Pools;
use crate::routes::{RouteMatch, Routes};

/// Paths that the host answers itself.
const WELL_KNOWN: &str = "/.well-known/spin/";

/// The client address of a call that another component made.
const NO_CLIENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// A loaded application.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Outbound HTTP connections.
    pub http: HttpClient,
    /// Outbound database connections.
    pub postgres: Pools,
    manifest: Manifest,
    routes: Routes,
    components: HashMap<String, Arc<Component>>,
}

impl Server {
    /// An application that will listen on `address`.
    pub fn new(
        address: SocketAddr,
        manifest: Manifest,
        routes: Routes,
        components: impl IntoIterator<Item = Component>,
    ) -> Self {
        let components = components
            .into_iter()
            .map(|component| (component.id.clone(), Arc::new(component)));
        Self {
            address,
            http: HttpClient::new(),
            postgres: Pools::default(),
            manifest,
            routes,
            components: components.collect(),
        }
    }

    /// Tells where the application is, as `spin up` does.
    pub fn announce(&self) {
        println!("\nServing http://{}", self.address);
        println!("Available Routes:");
        for (route, trigger) in self.routes.shown() {
            let trigger = &self.manifest.http_triggers[trigger];
            let name = match trigger.target() {
                Ok(Target::Component(component)) => component,
                _ => &trigger.id,
            };
            println!("  {name}: http://{}{route}", self.address);
        }
    }

    /// Serves for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> Result<()> {
        loop {
            let (stream, client) = listener.accept().await?;
            self.serve_connection(stream, client);
        }
    }

    fn serve_connection(self: &Arc<Self>, stream: TcpStream, client: SocketAddr) {
        let server = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let server = server.clone();
            async move {
                server
                    .answer(request, client)
                    .await
                    .inspect_err(|error| eprintln!("No answer: {error:#}"))
            }
        });
        let builder = Builder::new(TokioExecutor::new());
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        // Errors here are clients that went away.
        tokio::spawn(async move { drop(connection.await) });
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Result<Response<WasiBody>> {
        let mut request = request.map(|body| {
            TimedBody::new(body.map_err(hyper_request_error), DEFAULT_TIMEOUT).boxed_unsync()
        });
        let host = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        if host.is_some_and(|host| chained_component(host).is_some()) {
            request.headers_mut().remove(HOST);
        }
        let path = request.uri().path().to_owned();
        if let Some(name) = path.strip_prefix(WELL_KNOWN) {
            return self.answer_well_known(name);
        }
        let Some(found) = self.routes.find(&path) else {
            return status(StatusCode::NOT_FOUND);
        };
        self.answer_match(request, &found, client).await
    }

    /// Answers a call from another component to `callee`, private or not.
    pub async fn answer_component_call(
        self: &Arc<Self>,
        callee: &str,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>> {
        let trigger = self
            .manifest
            .http_triggers
            .iter()
            .position(
                |trigger| matches!(trigger.target(), Ok(Target::Component(id)) if id == callee),
            )
            .with_context(|| format!("no trigger leads to component {callee:?}"))?;
        let path = request.uri().path().to_owned();
        self.answer_match(request, &RouteMatch::chained(trigger, &path), NO_CLIENT)
            .await
    }

    async fn answer_match(
        self: &Arc<Self>,
        mut request: Request<WasiBody>,
        found: &RouteMatch<'_>,
        client: SocketAddr,
    ) -> Result<Response<WasiBody>> {
        *request.uri_mut() = absolute_uri(request.uri(), request.headers())?;
        match self.manifest.http_triggers[found.trigger].target()? {
            Target::Static(response) => static_response(response),
            Target::Component(id) => {
                let component = self
                    .components
                    .get(id)
                    .with_context(|| format!("no component {id:?}"))?;
                match self.run(component, request, found, client).await {
                    Ok(response) => Ok(response),
                    Err(error) => {
                        eprintln!("Component {id} did not answer: {error:#}");
                        status(StatusCode::INTERNAL_SERVER_ERROR)
                    }
                }
            }
        }
    }

    /// Runs a new instance, and returns its response as soon as it is set. The instance goes on until it ends.
    async fn run(
        self: &Arc<Self>,
        component: &Arc<Component>,
        mut request: Request<WasiBody>,
        found: &RouteMatch<'_>,
        client: SocketAddr,
    ) -> Result<Response<WasiBody>> {
        for value in request.headers().values() {
            std::str::from_utf8(value.as_bytes()).context("a header is not UTF-8")?;
        }
        for (name, value) in found.headers(request.uri(), request.headers(), client)? {
            // After the client's own of the same name, which is seen first.
            request.headers_mut().append(name, value);
        }
        let (mut store, pre) = Instance::new(component, self);
        let proxy = pre.instantiate_async(&mut store).await?;
        let request = store
            .data_mut()
            .new_incoming_request(GuestScheme::Http, request)?;
        let (sender, receiver) = oneshot::channel();
        let outparam = store.data_mut().new_response_outparam(sender)?;
        let instance = tokio::spawn(async move {
            proxy
                .wasi_http_incoming_handler()
                .call_handle(&mut store, request, outparam)
                .await
        });
        let Ok(response) = receiver.await else {
            instance.await??;
            bail!("it ended without setting a response");
        };
        let id = component.id.clone();
        tokio::spawn(async move {
            if let Err(error) = instance.await.map_err(Into::into).and_then(|result| result) {
                eprintln!("Component {id} failed after its response had begun: {error:#}");
            }
        });
        response.map_err(|code| anyhow!("it set an error as its response: {code:?}"))
    }

    fn answer_well_known(&self, name: &str) -> Result<Response<WasiBody>> {
        match name {
            "health" => Ok(Response::new(full("OK"))),
            "info" => {
                let application = &self.manifest.application;
                let mut info = serde_json::json!({ "name": application.name });
                if !application.version.is_empty() {
                    info["version"] = application.version.clone().into();
                }
                let info = serde_json::to_string_pretty(&info)?;
                Ok(Response::builder()
                    .header(CONTENT_TYPE, "application/json")
                    .body(full(info))?)
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }
}

/// The URI as the guest sees it. The authority is the URI's or the `Host` header's; two that differ are an error.
fn absolute_uri(uri: &Uri, headers: &HeaderMap) -> Result<Uri> {
    let host: Option<Authority> = headers
        .get(HOST)
        .map(|host| host.as_bytes().try_into())
        .transpose()?;
    let mut parts = uri.clone().into_parts();
    let authority = match (host, parts.authority) {
        (None, None) => bail!("the request has no Host header"),
        (Some(authority), None) | (None, Some(authority)) => authority,
        (Some(host), Some(authority)) => {
            ensure!(
                host == authority,
                "the Host header and the URI name different hosts"
            );
            host
        }
    };
    parts.authority = Some(authority);
    parts.scheme = Some(Scheme::HTTP);
    Ok(Uri::from_parts(parts)?)
}

fn static_response(response: &StaticResponse) -> Result<Response<WasiBody>> {
    let mut builder = Response::builder().status(response.status_code.unwrap_or(200));
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    Ok(builder.body(full(response.body.clone().unwrap_or_default()))?)
}

fn status(status: StatusCode) -> Result<Response<WasiBody>> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Ok(Response::builder().status(status).body(body)?)
}

fn full(body: impl Into<Bytes>) -> WasiBody {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
