//! Serves a Spin application where the `spin` command is not installed. See the README beside this crate.

mod allowed_hosts;
mod bindings;
mod build;
mod composition;
mod host;
mod logs;
mod manifest;
mod outbound_http;
mod postgres;
mod postgres_types;
mod routes;
mod server;
mod variables;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::host::Loader;
use crate::manifest::{Manifest, Target};
use crate::routes::Routes;
use crate::server::Server;
use crate::variables::{VariableArgument, Variables};

/// Serves a Spin application for development and tests; its arguments are those of `spin`.
#[derive(Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the components' build commands.
    Build(Build),
    /// Start the application, and serve it until SIGINT or SIGTERM.
    Up(Up),
}

#[derive(Args)]
struct Source {
    /// The manifest, or the folder with a spin.toml.
    #[arg(short, long, visible_alias = "file", default_value = "spin.toml")]
    from: PathBuf,
}

#[derive(Args)]
struct Build {
    #[command(flatten)]
    source: Source,
    /// Build this component only. May be repeated.
    #[arg(short, long)]
    component_id: Vec<String>,
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    source: Source,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "SPIN_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:3000")]
    listen: String,
    /// A variable's value. May be repeated; the last of equal names counts.
    #[arg(
        long = "variable",
        value_name = "KEY=VALUE | KEY=@FILE | @FILE.json | @FILE.toml"
    )]
    variables: Vec<VariableArgument>,
    /// Folder for logs [default: .spin beside the manifest].
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Write components' output to the log files only.
    #[arg(short, long)]
    quiet: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Build(arguments) => build(&arguments),
        Command::Up(arguments) => up(arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Source {
    /// The manifest and the folder it is in.
    fn load(&self) -> Result<(Manifest, PathBuf)> {
        let path = if self.from.is_dir() {
            self.from.join("spin.toml")
        } else {
            self.from.clone()
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok((Manifest::load(&path)?, folder))
    }
}

fn build(arguments: &Build) -> Result<()> {
    let (manifest, folder) = arguments.source.load()?;
    build::run(&manifest, &folder, &arguments.component_id)
}

async fn up(arguments: Up) -> Result<()> {
    let (manifest, folder) = arguments.source.load()?;
    let variables = Variables::resolve(&manifest.variables, &arguments.variables)?;
    let routes = Routes::new(&manifest.http_triggers)?;

    let log_folder = arguments
        .state_dir
        .unwrap_or_else(|| folder.join(".spin"))
        .join("logs");
    std::fs::create_dir_all(&log_folder)
        .with_context(|| format!("cannot create {}", log_folder.display()))?;
    println!("Logging component stdio to {:?}", log_folder.join(""));

    let engine = host::create_engine()?;
    let linker = host::create_linker(&engine)?;
    let loader = Loader {
        manifest: &manifest,
        folder: &folder,
        variables: &variables,
        log_folder: &log_folder,
        followed: !arguments.quiet,
        engine: &engine,
        linker: &linker,
    };
    let mut served: Vec<&str> = manifest
        .http_triggers
        .iter()
        .filter_map(|trigger| match trigger.target() {
            Ok(Target::Component(id)) => Some(id),
            _ => None,
        })
        .collect();
    served.sort_unstable();
    served.dedup();
    let components = served
        .into_iter()
        .map(|id| loader.load(id))
        .collect::<Result<Vec<_>>>()?;

    let address = listen_address(&arguments.listen)?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let server = Arc::new(Server::new(
        listener.local_addr()?,
        manifest,
        routes,
        components,
    ));
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    server.announce();
    tokio::select! {
        result = server.serve(listener) => result,
        // At once, as Spin ends: what is running is cut off.
        _ = interrupt.recv() => std::process::exit(0),
        _ = terminate.recv() => std::process::exit(0),
    }
}

/// A host name may have several addresses: 127.0.0.1 is preferred.
fn listen_address(listen: &str) -> Result<SocketAddr> {
    let addresses: Vec<SocketAddr> = listen
        .to_socket_addrs()
        .with_context(|| format!("{listen:?} is no address to listen on"))?
        .collect();
    let local = addresses
        .iter()
        .find(|address| address.ip() == std::net::Ipv4Addr::LOCALHOST);
    local
        .or(addresses.first())
        .copied()
        .with_context(|| format!("{listen:?} has no address"))
}
