//! An upgrade whose migration fails half way, by the runbooks of `docs/operations.md`, under load.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use stack::report::Report;
use stack::workspace;

use super::count;
use super::load::Load;
use crate::images::NEXT;
use crate::kubectl::Kubectl;
use crate::service::Service;

const RUNBOOK: &str = "docs/operations.md";

/// The upgrade to a version with one more migration, which waits for a lock that somebody holds, and gives up. The version of
/// before goes on; by the runbook the migration is made after all; the app is upgraded and taken back; and so is the migration.
pub fn a_failed_migration_and_the_way_back(
    service: &Service,
    kubectl: &Kubectl,
    report: &Report,
) -> Result<()> {
    let upgrade = Upgrade::read(service)?;
    let load = Load::start(service, 4)?;
    let upgraded = upgrade.go(service, kubectl, report);
    let told = load.finish(service, kubectl);
    upgraded?;
    report.say(format!("  {}", told?));
    Ok(())
}

/// What the runbooks say, for the number of the next migration.
struct Upgrade {
    /// The number of the last migration now.
    last: i64,
    migrate: String,
    app: String,
    app_back: String,
    look: String,
    connect: String,
    repair: String,
    migration_back: String,
}

impl Upgrade {
    fn read(service: &Service) -> Result<Self> {
        let blocks = |heading| service.runner.blocks(RUNBOOK, heading);
        let last = count(service, "SELECT version FROM schema_migrations")?;
        let upgrade = blocks("## Upgrading")?;
        let (migrate, app) = upgrade[0]
            .split_once("\n\n")
            .context("the migrations come first, then the app")?;
        let failed = blocks("### A migration that failed")?;
        ensure!(failed.len() == 3, "look, connect, repair: {failed:?}");
        Ok(Self {
            last,
            migrate: migrate.to_owned(),
            app: app.to_owned(),
            app_back: blocks("### The way back")?[0].clone(),
            look: failed[0].clone(),
            connect: changed(
                &failed[1],
                "todo-migrations:0.1.0",
                &format!("todo-migrations:{NEXT}"),
            )?,
            // Of the runbook's example.
            repair: changed(&failed[2], "force 18", &format!("force {last}"))?,
            migration_back: blocks("### Taking a migration back")?[0].clone(),
        })
    }

    fn go(&self, service: &Service, kubectl: &Kubectl, report: &Report) -> Result<()> {
        let runner = &service.runner;
        let (before, next) = (workspace::root(), service.folder.join("next"));
        runner.clone_of_version(&next, &["postgres", "app"], NEXT)?;

        self.fail(service, &next)?;
        report.say("  the migration failed, and is noted as dirty");
        runner.run(&format!("{}{}", self.connect, self.repair), &next)?;
        self.check_version(service, 1)?;
        runner.run(&self.app, &next)?;
        self.check_image(kubectl, NEXT)?;
        thread::sleep(Duration::from_secs(3));
        runner.run(&self.app_back, &before)?;
        self.check_image(kubectl, "0.1.0")?;
        runner.run(&format!("{}{}", self.connect, self.migration_back), &next)?;
        self.check_version(service, 0)?;
        // As it was: the Job of the version of before has nothing to do.
        runner.run(&self.migrate, &before)?;
        self.check_version(service, 0)
    }

    /// Follows the upgrade until its migration has failed, and sees what the runbook says one sees.
    fn fail(&self, service: &Service, next: &Path) -> Result<()> {
        let mut other = service.database()?;
        let mut reader = other.transaction()?;
        reader.execute("SELECT FROM tasks LIMIT 1", &[])?;
        let impatient = changed(&self.migrate, "--timeout=15m", "--timeout=45s")?;
        let (succeeded, printed) = service.runner.outcome(&impatient, next)?;
        ensure!(
            !succeeded && printed.contains("timed out waiting for the condition"),
            "the migration did not fail:\n{printed}"
        );
        let seen = service.runner.read(&self.look, next)?;
        let dirty = self.last + 1;
        for words in [
            "lock timeout",
            &format!("Dirty database version {dirty}"),
            &format!(" {dirty} | t"),
        ] {
            ensure!(seen.contains(words), "{words:?} is not in:\n{seen}");
        }
        ensure!(
            tables(service)? == 0,
            "half of the migration was left behind"
        );
        Ok(())
    }

    fn check_version(&self, service: &Service, more: i64) -> Result<()> {
        let dirty = count(service, "SELECT dirty::int::bigint FROM schema_migrations")?;
        let version = count(service, "SELECT version FROM schema_migrations")?;
        ensure!(
            (version, dirty, tables(service)?) == (self.last + more, 0, more),
            "the schema is at {version}, dirty: {dirty}"
        );
        Ok(())
    }

    fn check_image(&self, kubectl: &Kubectl, version: &str) -> Result<()> {
        let pod = "{.spec.template.spec.containers[0].args}";
        let arguments = kubectl.read(&[
            "get",
            "deployment/todo-events",
            "-n",
            "todo-app",
            "-o",
            &format!("jsonpath={pod}"),
        ])?;
        ensure!(
            arguments.contains(&format!("todo-events:{version}")),
            "the pods run {arguments}"
        );
        Ok(())
    }
}

/// How many tables there are of the next version's.
fn tables(service: &Service) -> Result<i64> {
    count(
        service,
        "SELECT count(*) FROM pg_tables WHERE tablename = 'of_the_next_version'",
    )
}

/// The text with something else in it.
fn changed(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "{from:?} is not in:\n{text}");
    Ok(text.replace(from, to))
}
