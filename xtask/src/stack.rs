//! The whole service on this machine: Postgres, broker, Dapr scheduler, app and sidecar.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use crate::endpoints::{
    DEAD_LETTERS_TOPIC, Endpoints, REMINDERS_TOPIC, Secrets, TASKS_TOPIC, random_hex, write_private,
};
use crate::programs::Programs;
use crate::report::Report;
use crate::service::Service;
use crate::services::{self, Ports};
use crate::{kafka, net, postgres_server, process, workspace};

/// Partitions of each topic of events.
const PARTITIONS: i32 = 3;
/// The database's name where it outlives the stack.
const PERSISTENT_DATABASE: &str = "todo_events";

/// What to start, and with what.
#[derive(Debug)]
pub struct StackOptions {
    programs: Programs,
    postgres_url: Option<String>,
    kafka: Option<String>,
    persist: Option<PathBuf>,
    listen: Option<SocketAddrV4>,
    broker_on_disk: bool,
    partitions: i32,
    variables: Vec<(String, String)>,
    state_dir: Option<PathBuf>,
    report: Report,
}

impl StackOptions {
    /// A throw-away stack with its own Postgres server and broker, serving on a free port.
    #[must_use]
    pub fn new(programs: Programs) -> Self {
        Self {
            programs,
            postgres_url: None,
            kafka: None,
            persist: None,
            listen: None,
            broker_on_disk: false,
            partitions: PARTITIONS,
            variables: Vec::new(),
            state_dir: None,
            report: Report::silent(),
        }
    }

    /// A further stack beside a running one, for a test: the same programs and Postgres server, but
    /// a database, broker and everything else of its own.
    #[must_use]
    pub fn beside(endpoints: &Endpoints) -> Self {
        Self::new(endpoints.programs.clone()).postgres(&endpoints.postgres_url)
    }

    /// Uses a server by the address of one of its databases; one more is created in it for the
    /// stack, and dropped with it unless it is to [persist](Self::persist).
    #[must_use]
    pub fn postgres(mut self, url: &str) -> Self {
        self.postgres_url = Some(url.to_owned());
        self
    }

    /// Starts a Postgres server of the stack's own, so that it can be stopped and killed.
    #[must_use]
    pub fn own_postgres(mut self) -> Self {
        self.postgres_url = None;
        self
    }

    /// Uses a broker by its `host:port`; topics that it lacks are created.
    #[must_use]
    pub fn kafka(mut self, address: &str) -> Self {
        self.kafka = Some(address.to_owned());
        self
    }

    /// Keeps data and secrets in a folder, for the next stack started with it.
    #[must_use]
    pub fn persist(mut self, folder: &Path) -> Self {
        self.persist = Some(folder.to_owned());
        self
    }

    /// Serves the app on this address; whatever it is, 127.0.0.1 has to reach it.
    #[must_use]
    pub fn listen(mut self, address: SocketAddrV4) -> Self {
        self.listen = Some(address);
        self
    }

    /// Lets the broker of a throw-away stack survive being killed; in memory it loses everything.
    #[must_use]
    pub fn broker_on_disk(mut self) -> Self {
        self.broker_on_disk = true;
        self
    }

    /// Partitions of the topics `tasks` and `reminders`.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets a variable of `spin.toml`, over what the stack sets.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where logs go. By default a temporary folder, which stays when a test panics.
    #[must_use]
    pub fn state_dir(mut self, folder: &Path) -> Self {
        self.state_dir = Some(folder.to_owned());
        self
    }

    /// Prints each step.
    #[must_use]
    pub fn report(mut self, report: Report) -> Self {
        self.report = report;
        self
    }

    /// Starts everything and waits until events flow. When something fails, what was started is
    /// stopped and the error holds the end of that service's log.
    ///
    /// # Errors
    /// When a service does not start.
    pub fn start(self) -> Result<Stack> {
        Stack::start(self)
    }
}

/// A running stack. Dropped, it stops; killed, its services end with it.
#[derive(Debug)]
pub struct Stack {
    /// Dropped first to last: what calls others stops before what it calls.
    daprd: Service,
    app: Service,
    scheduler: Service,
    broker: Option<Service>,
    postgres: Option<Service>,
    endpoints: Endpoints,
    database: String,
    persistent: bool,
    folders: Folders,
    stopped: bool,
}

impl Stack {
    fn start(options: StackOptions) -> Result<Self> {
        let report = options.report;
        let folders = Folders::new(&options)?;
        let secrets = folders.secrets()?;
        let ports = Ports::choose(options.listen)?;
        let programs = &options.programs;
        let persistent = options.persist.is_some();

        let own_server = match &options.postgres_url {
            Some(_) => None,
            None => {
                let postgres = programs
                    .postgres
                    .as_ref()
                    .context("no Postgres is given and none was prepared")?;
                Some(postgres_server::server(
                    postgres,
                    &folders.data.join("postgres"),
                    &secrets.postgres_password,
                    persistent,
                    folders.log("postgres"),
                )?)
            }
        };
        let postgres_url = match (&options.postgres_url, &own_server) {
            (Some(url), _) => url.clone(),
            (None, Some(server)) => server.url.clone(),
            (None, None) => bail!("no Postgres"),
        };
        let postgres = own_server.map(|server| server.service);
        let database = if persistent {
            PERSISTENT_DATABASE.to_owned()
        } else {
            format!("todo_{}", random_hex(6)?)
        };
        let topics = [
            (TASKS_TOPIC, options.partitions),
            (REMINDERS_TOPIC, options.partitions),
            (DEAD_LETTERS_TOPIC, 1),
        ];
        let broker = match &options.kafka {
            Some(_) => None,
            None => Some(services::broker(
                programs,
                &ports,
                &topics,
                &folders,
                persistent || options.broker_on_disk,
            )?),
        };
        let kafka_address = options
            .kafka
            .clone()
            .unwrap_or_else(|| format!("127.0.0.1:{}", ports.broker));
        let scheduler = services::scheduler(programs, &ports, &folders)?;
        let database_url = postgres_server::with_database(&postgres_url, &database)?;
        let app = services::app(&services::App {
            programs,
            ports: &ports,
            folders: &folders,
            secrets: &secrets,
            database_url: &database_url,
            variables: &options.variables,
        })?;
        let daprd = services::daprd(programs, &ports, &folders, &secrets, &kafka_address);

        thread::scope(|scope| {
            let database_ready = scope.spawn(|| {
                if let (Some(postgres), Some(programs)) = (&postgres, &programs.postgres) {
                    postgres_server::initialise(
                        programs,
                        &folders.data.join("postgres"),
                        &secrets.postgres_password,
                    )?;
                    postgres.start()?;
                    report.step("Postgres is ready");
                }
                postgres_server::create_database(&postgres_url, &database)?;
                migrate(programs, &database_url)?;
                report.step("migrations are applied");
                Ok(())
            });
            let broker_ready = scope.spawn(|| match &broker {
                Some(broker) => {
                    broker.start()?;
                    report.step(format!("broker is ready on {kafka_address}"));
                    Ok(())
                }
                None => {
                    kafka::create_topics(&kafka_address, &topics)?;
                    report.step(format!("topics exist on {kafka_address}"));
                    Ok(())
                }
            });
            let scheduler_ready = scope.spawn(|| {
                scheduler.start()?;
                report.step("Dapr scheduler is ready");
                Ok(())
            });
            let app_ready = scope.spawn(|| {
                app.start()?;
                report.step("app accepts connections");
                Ok(())
            });
            [database_ready, broker_ready, scheduler_ready, app_ready]
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(anyhow!("starting a service panicked")))
                })
                .fold(Ok(()), Result::and)
        })?;
        // It asks the app for its subscriptions once, when it starts.
        daprd.start()?;
        report.step("Dapr sidecar is ready and subscribed");

        let logs = [&daprd, &app, &scheduler]
            .into_iter()
            .chain(&broker)
            .chain(&postgres)
            .map(|service| (service.name().to_owned(), service.log().to_owned()))
            .collect::<BTreeMap<_, _>>();
        let endpoints = Endpoints {
            pid: std::process::id(),
            api_url: format!("http://127.0.0.1:{}", ports.app.port()),
            dapr_url: format!("http://127.0.0.1:{}", ports.dapr_http),
            dapr_metrics_url: format!("http://127.0.0.1:{}", ports.dapr_metrics),
            kafka: kafka_address,
            database_url,
            postgres_url,
            secrets,
            state_dir: folders.state.clone(),
            logs,
            component_logs: folders.state.join("app/logs"),
            programs: options.programs,
        };
        let stack = Self {
            daprd,
            app,
            scheduler,
            broker,
            postgres,
            endpoints,
            database,
            persistent,
            folders,
            stopped: false,
        };
        stack.wait_ready()?;
        report.step("app is ready");
        Ok(stack)
    }

    /// Where the stack listens, its secrets and logs.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The sidecar.
    #[must_use]
    pub fn daprd(&self) -> &Service {
        &self.daprd
    }

    /// The app: `spin` or the development host.
    #[must_use]
    pub fn app(&self) -> &Service {
        &self.app
    }

    /// Dapr's scheduler.
    #[must_use]
    pub fn scheduler(&self) -> &Service {
        &self.scheduler
    }

    /// The broker.
    ///
    /// # Errors
    /// When the stack uses one that was given.
    pub fn broker(&self) -> Result<&Service> {
        self.broker
            .as_ref()
            .context("the stack has no broker of its own")
    }

    /// The database server.
    ///
    /// # Errors
    /// When the stack uses one that was given; see [`StackOptions::own_postgres`].
    pub fn postgres(&self) -> Result<&Service> {
        self.postgres
            .as_ref()
            .context("the stack has no Postgres server of its own")
    }

    /// A bearer token for a user, valid for a day.
    ///
    /// # Errors
    /// When the stack's key is unusable.
    pub fn token(&self, user: &str) -> Result<String> {
        self.endpoints.token(user)
    }

    /// Everything a component has printed so far.
    #[must_use]
    pub fn logs(&self, component: &str) -> String {
        self.endpoints.component_log(component)
    }

    /// Waits until the app says that it is ready, which includes its database.
    ///
    /// # Errors
    /// When it is not within 20 s.
    pub fn wait_ready(&self) -> Result<()> {
        let url = format!("{}/readyz", self.endpoints.api_url);
        let limit = Duration::from_secs(20);
        let began = std::time::Instant::now();
        while let Err(error) = net::get(&url, &[]) {
            crate::interrupt::check()?;
            if began.elapsed() > limit {
                bail!(
                    "the app was not ready within {} s: {error:#}{}",
                    limit.as_secs(),
                    self.app.tail()
                );
            }
            thread::sleep(process::POLL);
        }
        Ok(())
    }

    /// The first service that has ended by itself, if one has.
    #[must_use]
    pub fn ended(&self) -> Option<&Service> {
        [&self.daprd, &self.app, &self.scheduler]
            .into_iter()
            .chain(&self.broker)
            .chain(&self.postgres)
            .find(|service| service.has_ended())
    }

    /// Stops everything: in order and gently where data is kept, at once where it is thrown away.
    ///
    /// # Errors
    /// When a service's end cannot be waited for or the database not be dropped.
    pub fn stop(mut self) -> Result<()> {
        self.stop_services()
    }

    fn stop_services(&mut self) -> Result<()> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        let end = |service: &Service| {
            if self.persistent {
                service.stop()
            } else {
                service.kill()
            }
        };
        let mut results = vec![end(&self.daprd)];
        results.push(end(&self.app));
        results.push(end(&self.scheduler));
        results.extend(self.broker.as_ref().map(end));
        match &self.postgres {
            Some(postgres) => results.push(end(postgres)),
            None if self.persistent => {}
            None => results.push(postgres_server::drop_database(
                &self.endpoints.postgres_url,
                &self.database,
            )),
        }
        results.into_iter().fold(Ok(()), Result::and)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Err(error) = self.stop_services() {
            eprintln!("stopping a stack: {error:#}");
        }
        if thread::panicking() {
            self.folders.keep_logs();
        }
    }
}

/// Where a stack keeps logs and data.
#[derive(Debug)]
pub(crate) struct Folders {
    /// Logs, and what `spin` writes.
    pub(crate) state: PathBuf,
    /// Data of Postgres, the broker and the scheduler.
    pub(crate) data: PathBuf,
    persistent: bool,
    temporary_state: Option<TempDir>,
    _temporary_data: Option<TempDir>,
}

impl Folders {
    fn new(options: &StackOptions) -> Result<Self> {
        let absolute = |folder: &Path| {
            fs::create_dir_all(folder)
                .and_then(|()| folder.canonicalize())
                .with_context(|| format!("cannot make {}", folder.display()))
        };
        let (data, temporary_data) = match &options.persist {
            Some(folder) => (absolute(folder)?, None),
            None => {
                let folder = tempfile::Builder::new().prefix("todo-events-").tempdir()?;
                // Postgres may run as another user, who passes through to a folder of its own.
                fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let (state, temporary_state) = match &options.state_dir {
            Some(folder) => (absolute(folder)?, None),
            None => {
                let folder = tempfile::Builder::new()
                    .prefix("todo-events-logs-")
                    .tempdir()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        fs::create_dir_all(state.join("logs"))?;
        let folders = Self {
            state,
            data,
            persistent: options.persist.is_some(),
            temporary_state,
            _temporary_data: temporary_data,
        };
        folders.remove_old_logs()?;
        Ok(folders)
    }

    /// The log file of a service.
    pub(crate) fn log(&self, service: &str) -> PathBuf {
        self.state.join(format!("logs/{service}.log"))
    }

    fn remove_old_logs(&self) -> Result<()> {
        for folder in ["logs", "app/logs"] {
            for entry in fs::read_dir(self.state.join(folder)).into_iter().flatten() {
                fs::remove_file(entry?.path())?;
            }
        }
        Ok(())
    }

    /// New secrets, or those kept with the data.
    fn secrets(&self) -> Result<Secrets> {
        if !self.persistent {
            return Secrets::generate();
        }
        let path = self.data.join("secrets.json");
        match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .with_context(|| format!("{} holds no secrets", path.display())),
            Err(_) => {
                let secrets = Secrets::generate()?;
                write_private(&path, &serde_json::to_vec(&secrets)?)?;
                Ok(secrets)
            }
        }
    }

    fn keep_logs(&mut self) {
        if let Some(folder) = self.temporary_state.take() {
            eprintln!("logs of the stack: {}", folder.keep().display());
        }
    }
}

fn migrate(programs: &Programs, database_url: &str) -> Result<()> {
    let (_, address) = database_url
        .split_once("://")
        .context("the database's address has no scheme")?;
    let mut command = Command::new(&programs.migrate);
    command
        .arg("-path")
        .arg(workspace::root().join("migrations"))
        .args(["-database", &format!("pgx5://{address}"), "up"]);
    let output = process::capture(command, Duration::from_secs(120))?;
    if !output.status.success() {
        // Not the command itself: it holds the database's password.
        bail!(
            "migrations failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
