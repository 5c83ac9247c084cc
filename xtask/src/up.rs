//! `up`, `down`, `token` and `build`.

use std::env;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stack::StackOptions;
use stack::endpoints::Endpoints;
use stack::programs::cargo::Cargo;
use stack::programs::{Programs, components, kafka};
use stack::report::Report;
use stack::running::{self, Claim};
use stack::{interrupt, postgres_server, process, token, workspace};

use crate::{BrokerName, Role, UpArguments};

/// Where the app listens by default, if the port is free; Spin has the same default.
const LISTEN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3000);

pub fn run(arguments: UpArguments, report: Report) -> Result<()> {
    let claim = Claim::take()?;
    let apache_kafka = arguments.broker == BrokerName::Kafka;
    if apache_kafka {
        kafka::check()?;
    }
    let database_url = postgres_server::given();
    let mut programs = Programs::prepare(arguments.host, database_url.is_none(), &report)?;
    if apache_kafka {
        programs = programs.with_kafka(&report)?;
    }

    let mut options = StackOptions::new(programs)
        .state_dir(&workspace::state_dir())
        .report(report);
    if let Some(url) = &database_url {
        report.step("using the Postgres server of DATABASE_URL");
        options = options.postgres(url);
    }
    if let Some(kafka) = &arguments.kafka {
        options = options.kafka(kafka);
    }
    if apache_kafka {
        options = options.apache_kafka();
    }
    if let Some(folder) = &arguments.persist {
        options = options.persist(folder);
    }
    if let Some(listen) = arguments
        .listen
        .or_else(|| is_free(LISTEN).then_some(LISTEN))
    {
        options = options.listen(listen);
    }
    let stack = options.start()?;
    claim.publish(stack.endpoints())?;
    report.step("everything is up");
    introduce(stack.endpoints(), &report)?;

    while !interrupt::requested() {
        if let Some(service) = stack.ended() {
            bail!("{} has ended by itself{}", service.name(), service.tail());
        }
        thread::sleep(Duration::from_millis(100));
    }
    report.say("");
    report.step("stopping");
    stack.stop()?;
    report.say(match &arguments.persist {
        Some(folder) => format!(
            "Stopped; the data is in {}. `cargo xtask up --persist {}` goes on with it.",
            folder.display(),
            folder.display()
        ),
        None => "Stopped; its data is gone. `cargo xtask up --persist DIR` would keep it.".into(),
    });
    Ok(())
}

fn is_free(address: SocketAddrV4) -> bool {
    TcpListener::bind(address).is_ok()
}

fn introduce(endpoints: &Endpoints, report: &Report) -> Result<()> {
    let api = &endpoints.api_url;
    let token = endpoints.token("demo")?;
    // In the fragment, which a browser sends to nobody.
    let operator = format!(
        "{api}/operator#token={}",
        endpoints.operator_token("operator")?
    );
    report.say(format!(
        r#"
  Open       {api}/#token={token}

  API        {api}
  operators  {operator}
  Dapr       {dapr}
  Kafka      {kafka}
  Postgres   {database}
  logs       {logs}

A token for the user "demo", and a daily task created, completed and followed by the next one:

  TOKEN={token}
  ID=$(curl -s {api}/api/demo/tasks -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"title":"Water the plants","is_recurring":true,"recurring_interval":"daily"}}' | sed -E 's/.*"id": ?"([^"]+)".*/\1/')
  curl -s -X POST {api}/api/demo/tasks/$ID/complete -H "Authorization: Bearer $TOKEN"
  curl -s {api}/api/demo/tasks -H "Authorization: Bearer $TOKEN"

The service is running. Ctrl-C stops everything; `cargo xtask demo` in another terminal shows the events."#,
        dapr = endpoints.dapr_url,
        kafka = endpoints.kafka,
        database = endpoints.database_url,
        logs = endpoints.state_dir.display(),
    ));
    Ok(())
}

/// How long the running `up` may take to stop everything.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// `down`
pub fn down(report: Report) -> Result<()> {
    if !running::exists()? {
        report.say("Nothing is running. `cargo xtask up` starts the service.");
        return Ok(());
    }
    let endpoints = running::find()?
        .context("the service is still starting; stop it with Ctrl-C where it was started")?;
    report.step(format!("stopping process {}", endpoints.pid));
    process::terminate(endpoints.pid);
    while running::exists()? {
        if report.elapsed() > STOP_LIMIT {
            bail!(
                "process {} has not stopped within {} s",
                endpoints.pid,
                STOP_LIMIT.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    report.step("stopped");
    report.say("The service is down. `cargo xtask up` starts it again.");
    Ok(())
}

/// The clients' key, as Spin takes it.
const KEY: &str = "SPIN_VARIABLE_JWT_SECRET";

/// `token`
pub fn token(user: &str, role: Option<Role>) -> Result<()> {
    let roles = role.map(|Role::Operator| token::OPERATOR);
    // The token alone on standard output, for `$(cargo xtask token demo)`.
    if let Some(endpoints) = running::find()? {
        let key = &endpoints.secrets.jwt_secret;
        println!("{}", token::mint_with_roles(key, user, roles.as_slice())?);
        let path = match role {
            None => format!("/api/{user}/tasks"),
            Some(Role::Operator) => "/operator/api/overview".to_owned(),
        };
        eprintln!(
            "Valid for a day: curl -H \"Authorization: Bearer …\" {}{path}",
            endpoints.api_url
        );
        return Ok(());
    }
    let key = env::var(KEY).with_context(|| {
        format!("the service is not running; start it with `cargo xtask up`, or give another one's key as {KEY}")
    })?;
    println!("{}", token::mint_with_roles(&key, user, roles.as_slice())?);
    Ok(())
}

/// `build`
pub fn build(report: Report) -> Result<()> {
    let cargo = Cargo::take(&report)?;
    components::build(&cargo, &report)?;
    report.say("Built. Next: `cargo xtask up` starts the service with these components.");
    Ok(())
}
