//! The service on the cluster, applied by the commands of `k8s/README.md` as they stand there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use stack::report::Report;
use stack::{token, workspace};

use crate::before::Before;
use crate::documents::{Overlay, Runner};
use crate::kubectl::Kubectl;
use crate::programs::Programs;
use crate::route::Route;
use crate::stand_ins::{StandIns, connect, service_address};

/// The running service, as its clients and its operator see it.
pub struct Service {
    /// Where a gateway sends what clients call, as the HTTPRoute says.
    pub address: SocketAddr,
    /// Runs what the documents say.
    pub runner: Runner,
    pub before: Before,
    /// Where a story may keep files.
    pub folder: PathBuf,
    database: SocketAddr,
    superuser_password: String,
    jwt_secret: String,
}

impl Service {
    /// Runs the documented commands, from an empty cluster to an available Deployment.
    pub fn apply(
        kubectl: &Kubectl,
        folder: &Path,
        programs: &Programs,
        overlay: Overlay,
        report: &Report,
    ) -> Result<Self> {
        let mut stand_ins = StandIns::start(kubectl, folder, overlay)?;
        let runner = Runner::new(kubectl, folder, overlay)?;
        let commands = runner.blocks("k8s/README.md", "## Layers")?.concat();
        ensure!(
            commands.contains("/app\n"),
            "the section Layers applies no app:\n{commands}"
        );
        let result = runner.run(&commands, &workspace::root());
        stand_ins.check()?;
        result.with_context(|| kubectl.describe("todo-app"))?;
        if overlay == Overlay::Prod {
            kubectl.wait(
                "todo-app",
                &[
                    "deployment/todo-events",
                    "--for=jsonpath={.status.availableReplicas}=3",
                    "--timeout=300s",
                ],
            )?;
        }
        report.step(
            "all layers are applied by the documented commands, and the Deployment is available",
        );
        Ok(Self {
            address: Route::read(kubectl)?.address("/api/anybody/tasks", kubectl)?,
            runner,
            before: programs.before.clone(),
            folder: folder.to_owned(),
            database: service_address(kubectl, "todo-app", "todo-events-db-rw")?,
            superuser_password: secret(kubectl, "todo-events-db-superuser", "password")?,
            jwt_secret: secret(kubectl, "todo-events", "jwt-secret")?,
        })
    }

    /// A bearer token for a user.
    pub fn token(&self, user: &str) -> Result<String> {
        token::mint(&self.jwt_secret, user)
    }

    /// A connection to the service's database.
    pub fn database(&self) -> Result<postgres::Client> {
        connect(self.database, "postgres", &self.superuser_password, "todo")
    }
}

/// A connection to the server itself, with all rights.
pub fn connect_as_superuser(kubectl: &Kubectl, database: &str) -> Result<postgres::Client> {
    let password = secret(kubectl, "todo-events-db-superuser", "password")?;
    let address = service_address(kubectl, "todo-app", "todo-events-db-rw")?;
    connect(address, "postgres", &password, database)
}

/// A value of a Secret.
pub fn secret(kubectl: &Kubectl, name: &str, key: &str) -> Result<String> {
    let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
    kubectl.read(&["get", "secret", "-n", "todo-app", name, "-o", &template])
}
