//! The service on the cluster, applied by the commands of `k8s/README.md` as they stand there.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stack::report::Report;
use stack::{process, token, workspace};

use crate::kubectl::Kubectl;
use crate::route::Route;
use crate::stand_ins::{StandIns, connect, service_address};

/// The running service, as its clients and its operator see it.
pub struct Service {
    /// Where a gateway sends what clients call, as the HTTPRoute says.
    pub address: SocketAddr,
    database: SocketAddr,
    superuser_password: String,
    jwt_secret: String,
}

impl Service {
    /// Runs the documented commands, from an empty cluster to an available Deployment.
    pub fn apply(kubectl: &Kubectl, folder: &Path, report: &Report) -> Result<Self> {
        let mut stand_ins = StandIns::start(kubectl, folder)?;
        let commands = documented_commands()?;
        let result = run(&commands, kubectl, folder);
        stand_ins.check()?;
        result.with_context(|| kubectl.describe("todo-app"))?;
        report.step(
            "all layers are applied by the documented commands, and the Deployment is available",
        );
        Self::find(kubectl)
    }

    fn find(kubectl: &Kubectl) -> Result<Self> {
        Ok(Self {
            address: Route::read(kubectl)?.address("/api/anybody/tasks", kubectl)?,
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

/// A value of a Secret.
pub fn secret(kubectl: &Kubectl, name: &str, key: &str) -> Result<String> {
    let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
    kubectl.read(&["get", "secret", "-n", "todo-app", name, "-o", &template])
}

/// The blocks of the section "Layers", for a cluster of one's own: `dev` in the place of `prod`. Layers that `dev` has
/// none of are left out, and so is pushing the image: it is on the node already.
fn documented_commands() -> Result<String> {
    let readme = fs::read_to_string(workspace::root().join("k8s/README.md"))?;
    let section = readme
        .split("\n## ")
        .find(|section| section.starts_with("Layers\n"))
        .context("k8s/README.md has no section Layers")?;
    let mut commands = String::new();
    for block in section.split("```sh needs-cluster\n").skip(1) {
        let (block, _) = block.split_once("\n```").context("a block has an end")?;
        for line in block.lines().filter(|line| !line.starts_with("spin ")) {
            let line = line.replace("overlays/prod/", "overlays/dev/");
            let missing = line
                .strip_prefix("kubectl apply -k ")
                .is_some_and(|layer| !workspace::root().join(layer).is_dir());
            if !missing {
                commands.push_str(&line);
                commands.push('\n');
            }
        }
    }
    ensure!(
        commands.contains("kubectl apply -k k8s/overlays/dev/app"),
        "the section Layers applies no app:\n{commands}"
    );
    Ok(commands)
}

fn run(commands: &str, kubectl: &Kubectl, folder: &Path) -> Result<()> {
    let programs = folder.join("bin");
    fs::create_dir_all(&programs)?;
    let wrapper = programs.join("kubectl");
    fs::write(
        &wrapper,
        format!(
            "#!/bin/sh\nexec {} kubectl \"$@\"\n",
            kubectl.program().display()
        ),
    )?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    kubectl.grant(&mut bash);
    bash.args(["-euvo", "pipefail", "-c", commands])
        .env("PATH", format!("{}:{path}", programs.display()))
        // For the backups, which `dev` has none of.
        .env("ACCESS_KEY_ID", "none")
        .env("SECRET_ACCESS_KEY", "none")
        .current_dir(workspace::root());
    process::run(bash).context("a documented command failed")
}
