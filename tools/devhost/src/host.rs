//! The Wasm side: the engine, a loaded component, and the state of one running instance.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as Wasm, HasSelf, Linker, ResourceTable, ResourceType};
use wasmtime::{Cache, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2};
use wasmtime_wasi_http::bindings::ProxyPre;
use wasmtime_wasi_http::body::HyperOutgoingBody;
use wasmtime_wasi_http::types::{self as http_types, OutgoingRequestConfig};
use wasmtime_wasi_http::{HttpResult, WasiHttpCtx, WasiHttpView};

use crate::allowed_hosts::AllowedHosts;
use crate::bindings::fermyon::spin::variables;
use crate::bindings::spin::postgres::postgres;
use crate::bindings::wasi::config::store;
use crate::composition::{self, DENIED_PACKAGE, DependencySource};
use crate::logs::ComponentLog;
use crate::manifest::Manifest;
use crate::outbound_http::OutboundHttp;
use crate::server::Server;
use crate::variables::{ComponentVariables, LookupError, Variables};

/// How many instances may be alive at once.
const MAX_INSTANCES: u32 = 1000;

/// Creates the engine: compiled code is cached in the user's cache folder, and instances come from a pool whose limits
/// are Spin's.
pub fn create_engine() -> Result<Engine> {
    let mut config = Config::new();
    config.cache(Some(Cache::from_file(None)?));
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(MAX_INSTANCES)
        .total_memories(MAX_INSTANCES)
        .total_stacks(MAX_INSTANCES)
        .total_tables(2 * MAX_INSTANCES)
        .total_core_instances(4 * MAX_INSTANCES)
        .table_elements(100_000)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_core_instances_per_component(200)
        .max_tables_per_component(64)
        .max_memories_per_component(32)
        .max_tables_per_module(2)
        .max_memories_per_module(2)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(512 << 10);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|error| {
        eprintln!("No instance pool, so instances start more slowly and are not limited to {MAX_INSTANCES}: {error:#}");
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        Ok(Engine::new(&config)?)
    })
}

/// A component ready to be instantiated, with what its table in the manifest gives it.
pub struct Component {
    /// Its id in the manifest.
    pub id: String,
    /// Which addresses it may call.
    pub allowed_hosts: AllowedHosts,
    pre: ProxyPre<Instance>,
    variables: ComponentVariables,
    environment: Vec<(String, String)>,
    stdout: ComponentLog,
    stderr: ComponentLog,
    refused: Mutex<HashSet<String>>,
}

/// What is common to the components of an application while they are loaded.
pub struct Loader<'a> {
    /// The manifest, and the folder that holds it.
    pub manifest: &'a Manifest,
    /// The manifest's folder: sources are relative to it.
    pub folder: &'a Path,
    /// The application's variables.
    pub variables: &'a Variables,
    /// Where components' output goes.
    pub log_folder: &'a Path,
    /// Whether it goes to the terminal too.
    pub followed: bool,
    /// See [`create_engine`].
    pub engine: &'a Engine,
    /// See [`create_linker`].
    pub linker: &'a Linker<Instance>,
}

impl Loader<'_> {
    /// Reads a component and its dependencies, joins and compiles them.
    pub fn load(&self, id: &str) -> Result<Component> {
        self.load_component(id)
            .with_context(|| format!("cannot load component {id:?}"))
    }

    fn load_component(&self, id: &str) -> Result<Component> {
        let settings = self
            .manifest
            .components
            .get(id)
            .context("no such component")?;
        let component_ids: Vec<String> = self.manifest.components.keys().cloned().collect();
        let allowed_hosts = AllowedHosts::parse(
            &settings.allowed_outbound_hosts,
            self.variables,
            &component_ids,
        )?;
        let read = |path: &Path| {
            let path = self.folder.join(path);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (source, dependencies) = self.manifest.sources(id)?;
        let dependencies = dependencies.into_iter().map(|dependency| {
            Ok(DependencySource {
                wasm: read(&dependency.path)?,
                name: dependency.name,
                export: dependency.export,
            })
        });
        let inherit = settings.dependencies_inherit_configuration;
        let wasm = composition::compose(
            id,
            read(&source)?,
            dependencies.collect::<Result<_>>()?,
            inherit,
        )?;
        let compiled = Wasm::from_binary(self.engine, &wasm)?;
        let mut linker = self.linker.clone();
        link_denied(&mut linker, &compiled)?;
        let pre = linker
            .instantiate_pre(&compiled)
            .map_err(anyhow::Error::from)
            .context(
                "it needs something that this host does not provide, or provides differently",
            )?;
        Ok(Component {
            id: id.to_owned(),
            allowed_hosts,
            pre: ProxyPre::new(pre)
                .map_err(anyhow::Error::from)
                .context("it does not export wasi:http/incoming-handler@0.2")?,
            variables: self.variables.of_component(&settings.variables)?,
            environment: settings.environment.clone().into_iter().collect(),
            stdout: ComponentLog::open(self.log_folder, id, "stdout", self.followed)?,
            stderr: ComponentLog::open(self.log_folder, id, "stderr", self.followed)?,
            refused: Mutex::default(),
        })
    }
}

impl Component {
    /// Tells the developer, once per address, that a call was refused and what would allow it.
    pub fn report_refused(&self, scheme: &str, address: &str) {
        let entry = format!("{scheme}://{address}");
        let first = self
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(entry.clone());
        if first {
            eprintln!(
                "Component {} was refused a call to {entry}: it is not in its allowed_outbound_hosts",
                self.id
            );
        }
    }
}

/// The state of one instance, which serves one request.
pub struct Instance {
    /// The component it is an instance of.
    pub component: Arc<Component>,
    /// The application it runs in.
    pub server: Arc<Server>,
    /// The resources it holds.
    pub table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: OutboundHttp,
}

impl Instance {
    /// A store for a new instance, and the way to start it.
    pub fn new(component: &Arc<Component>, server: &Arc<Server>) -> (Store<Self>, ProxyPre<Self>) {
        let sockets = component.clone();
        let wasi = WasiCtx::builder()
            .envs(&component.environment)
            .stdout(component.stdout.clone())
            .stderr(component.stderr.clone())
            .socket_addr_check(move |address, usage| {
                let allowed = may_use_socket(&sockets, address, usage);
                Box::pin(async move { allowed })
            })
            .build();
        let instance = Self {
            component: component.clone(),
            server: server.clone(),
            table: ResourceTable::new(),
            wasi,
            http: WasiHttpCtx::new(),
            outbound: OutboundHttp::new(component.clone(), server.clone()),
        };
        (
            Store::new(component.pre.engine(), instance),
            component.pre.clone(),
        )
    }
}

fn may_use_socket(component: &Component, address: SocketAddr, usage: SocketAddrUse) -> bool {
    let scheme = match usage {
        SocketAddrUse::TcpBind => return false,
        SocketAddrUse::TcpConnect => "tcp",
        _ => "udp",
    };
    component.allowed_hosts.allows(&address.to_string(), scheme)
}

impl WasiView for Instance {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Instance {
    fn ctx(&mut self) -> &mut WasiHttpCtx {
        &mut self.http
    }

    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    fn send_request(
        &mut self,
        request: http::Request<HyperOutgoingBody>,
        options: OutgoingRequestConfig,
    ) -> HttpResult<http_types::HostFutureIncomingResponse> {
        Ok(self.outbound.send_request(request, options))
    }
}

/// Everything that components may import.
pub fn create_linker(engine: &Engine) -> Result<Linker<Instance>> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::add_only_http_to_linker_async(&mut linker)?;
    postgres::add_to_linker::<_, HasSelf<Instance>>(&mut linker, |instance| instance)?;
    variables::add_to_linker::<_, HasSelf<Instance>>(&mut linker, |instance| instance)?;
    store::add_to_linker::<_, HasSelf<Instance>>(&mut linker, |instance| instance)?;
    Ok(linker)
}

/// A resource of an interface that is denied: there are none.
struct Denied;

/// Answers each call to a denied interface (see [`composition`]) with a trap that names it.
fn link_denied(linker: &mut Linker<Instance>, component: &Wasm) -> Result<()> {
    let engine = linker.engine().clone();
    for (interface, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(exports) = import else {
            continue;
        };
        if !interface.starts_with(DENIED_PACKAGE) {
            continue;
        }
        let mut instance = linker.instance(interface)?;
        for (name, export) in exports.exports(&engine) {
            let message = format!(
                "a dependency called {interface}#{name}, which its permissions do not include"
            );
            match export {
                ComponentItem::ComponentFunc(_) => {
                    instance.func_new(name, move |_, _, _, _| {
                        Err(wasmtime::Error::msg(message.clone()))
                    })?;
                }
                ComponentItem::Resource(_) => {
                    instance.resource(name, resource_type(name), |_, _| Ok(()))?
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A denied interface uses some resources of interfaces that are not denied: they must be the real ones.
fn resource_type(name: &str) -> ResourceType {
    match name {
        "descriptor" => ResourceType::host::<p2::bindings::filesystem::types::Descriptor>(),
        "network" => ResourceType::host::<p2::bindings::sockets::network::Network>(),
        "pollable" => ResourceType::host::<p2::DynPollable>(),
        "input-stream" => ResourceType::host::<p2::DynInputStream>(),
        "output-stream" => ResourceType::host::<p2::DynOutputStream>(),
        "outgoing-request" => ResourceType::host::<http_types::HostOutgoingRequest>(),
        "request-options" => ResourceType::host::<http_types::HostRequestOptions>(),
        "future-incoming-response" => {
            ResourceType::host::<http_types::HostFutureIncomingResponse>()
        }
        _ => ResourceType::host::<Denied>(),
    }
}

impl variables::Host for Instance {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        Ok(self
            .component
            .variables
            .get(&name)
            .map(str::to_owned)
            .map_err(|error| match error {
                LookupError::InvalidName(message) => variables::Error::InvalidName(message),
                LookupError::Undefined(message) => variables::Error::Undefined(message),
            }))
    }
}

impl store::Host for Instance {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        Ok(Ok(self
            .component
            .variables
            .get(&key)
            .ok()
            .map(str::to_owned)))
    }

    async fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        Ok(Ok(self.component.variables.all()))
    }
}
