//! The whole service on this machine: Postgres, broker, Dapr scheduler, app and sidecar.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::dapr_resources::DaprResources;
use crate::endpoints::{DEAD_LETTERS_TOPIC, Endpoints, REMINDERS_TOPIC, TASKS_TOPIC};
use crate::folders::Folders;
use crate::service::Service;
use crate::services::{self, Ports};
use crate::{kafka, net, postgres_server, process};

mod faults;
mod options;
mod replica;

pub use options::StackOptions;
pub use replica::Replica;

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
    ports: Ports,
    resources: DaprResources,
    /// The app's, over what every app is given.
    variables: Vec<(String, String)>,
    database: String,
    persistent: bool,
    folders: Folders,
    stopped: bool,
}

/// How long the app goes on after app and sidecar were told to end, to handle the sidecar's last deliveries. On
/// Kubernetes it is longer, because the pod must also leave the Service.
const PAUSE_BEFORE_END: Duration = Duration::from_secs(5);

impl Stack {
    fn start(options: StackOptions) -> Result<Self> {
        let report = options.report;
        let folders = Folders::new(options.persist.as_deref(), options.state_dir.as_deref())?;
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
        let database = folders.database()?;
        let topics = [
            (TASKS_TOPIC, options.partitions),
            (REMINDERS_TOPIC, options.partitions),
            (DEAD_LETTERS_TOPIC, 1),
        ];
        let broker = match &options.kafka {
            Some(_) => None,
            None if options.apache_kafka => Some(services::kafka(programs, &ports, &folders)?),
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
            name: "app",
            programs,
            ports: &ports,
            folders: &folders,
            secrets: &secrets,
            database_url: &database_url,
            variables: &options.variables,
        })?;
        let mut resources = if options.apache_kafka {
            DaprResources::kubernetes(&folders)?
        } else {
            DaprResources::local()
        };
        if let Some(address) = &options.spans {
            resources.send_spans(&folders, address)?;
        }
        let daprd = services::daprd(&services::Sidecar {
            name: "daprd",
            programs,
            ports: &ports,
            folders: &folders,
            secrets: &secrets,
            kafka: &kafka_address,
            resources: &resources,
        });

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
                services::migrate(programs, &database_url)?;
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
            kafka_secrets: options.apache_kafka.then(|| folders.kafka_secrets()),
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
            ports,
            resources,
            variables: options.variables,
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

    /// Ends app and sidecar as a pod of Kubernetes ends: both are told at the same moment. The sidecar ends its
    /// subscriptions and goes on publishing; the app, which Spin would end at once, goes on for some seconds, and takes
    /// what the sidecar had fetched.
    ///
    /// # Errors
    /// When the end of one cannot be waited for.
    pub fn end_pod(&self) -> Result<()> {
        replica::end_pod(&self.daprd, &self.app)
    }

    /// Starts app and sidecar again after [`Stack::end_pod`], and waits until they are ready.
    ///
    /// # Errors
    /// When one is not within its time.
    pub fn start_pod(&self) -> Result<()> {
        self.app.start()?;
        self.daprd.start()?;
        self.wait_ready()
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
        let mut results = if self.persistent {
            vec![self.end_pod()]
        } else {
            vec![end(&self.daprd), end(&self.app)]
        };
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
