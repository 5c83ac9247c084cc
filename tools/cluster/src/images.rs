//! The images that the manifests name, made of what the repository builds, under the names by which pods ask for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use stack::programs::Host;
use stack::report::Report;
use stack::{process, workspace};

use crate::before::{self, Before};
use crate::image::Image;
use crate::node::{Node, PAUSE};
use crate::programs::Programs;

/// Where Dapr's chart takes its images from.
pub const DAPR_REGISTRY: &str = "cluster.invalid/dapr";
/// The broker as Strimzi would run it, and a server as CloudNativePG would.
pub const KAFKA: &str = "cluster.invalid/kafka:1";
pub const POSTGRES: &str = "cluster.invalid/postgres:1";
pub const COREDNS: &str = "cluster.invalid/coredns:1";
/// What KEDA's manifests call its webhook, with the version that is built.
pub const KEDA_WEBHOOK: &str = "ghcr.io/kedacore/keda-admission-webhooks:2.20.2";
/// The version after this one: it has one more migration, and the same components.
pub const NEXT: &str = "0.1.1";

/// Makes all images and imports them.
pub fn import(programs: &Programs, node: &Node, folder: &Path, report: &Report) -> Result<()> {
    fs::create_dir_all(folder)?;
    for image in all(programs, folder)? {
        let path = image.write(folder)?;
        node.import(&path)?;
        fs::remove_file(path)?;
        report.step(format!("image {}", image.name));
    }
    Ok(())
}

fn all(programs: &Programs, folder: &Path) -> Result<Vec<Image>> {
    let service = &programs.service;
    let postgres = service
        .postgres
        .as_ref()
        .context("Postgres was not prepared")?;
    let postgres = postgres.bin.parent().context("Postgres has a folder")?;
    let dapr = |name: &str| {
        Image::new(
            format!("{DAPR_REGISTRY}/{name}:1.18.0"),
            &[&format!("/{name}")],
        )
    };
    let dapr_program = |name: &str| dapr(name).with(&programs.dapr.join(name), name);
    Ok(vec![
        // Holds a pod's namespaces and waits.
        Image::new(PAUSE, &["/pause"])
            .script(
                "pause",
                "trap 'exit 0' TERM INT\nwhile :; do /bin/sleep 3600 & wait; done\n",
            )
            .with(&tool("sleep")?, "bin/sleep"),
        Image::new(COREDNS, &["/coredns"])
            .root()
            .with(&programs.coredns, "coredns"),
        Image::new("ghcr.io/spinframework/spin-operator:v0.6.1", &["/manager"])
            .with(&programs.spin_operator, "manager"),
        Image::new(KEDA_WEBHOOK, &["/keda-admission-webhooks"])
            .with(&programs.keda_webhook, "keda-admission-webhooks"),
        dapr_program("operator"),
        dapr_program("injector"),
        dapr_program("sentry"),
        dapr_program("placement"),
        dapr("scheduler").with(&service.scheduler, "scheduler"),
        dapr("daprd").with(&service.daprd, "daprd"),
        migrations(service, "0.1.0", None)?,
        migrations(service, NEXT, Some(&next_migration(folder)?))?,
        app(programs)?,
        kafka(programs, folder)?,
        Image::new(POSTGRES, &["/start"])
            .with(postgres, "postgres")
            .script("start", include_str!("../resources/postgres.sh")),
    ])
}

/// As `migrations/Containerfile` makes it, and with the files of one more folder.
fn migrations(
    service: &stack::programs::Programs,
    version: &str,
    more: Option<&Path>,
) -> Result<Image> {
    let image = Image::new(
        format!("ghcr.io/todo-events/todo-migrations:{version}"),
        &["/migrate", "-path=/migrations"],
    );
    let mut image = image.with(&service.migrate, "migrate");
    let folder = workspace::root().join("migrations");
    for folder in [Some(folder.as_path()), more].into_iter().flatten() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                image = image.with(&path, &format!("migrations/{name}"));
            }
        }
    }
    Ok(image)
}

/// A folder with the migration that the next version has.
fn next_migration(folder: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(workspace::root().join("migrations"))?;
    let ups = files
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".up.sql"));
    let number = ups.count() + 1;
    let folder = folder.join("next-migration");
    fs::create_dir_all(&folder)?;
    for (kind, text) in [
        ("up", include_str!("../resources/next/up.sql")),
        ("down", include_str!("../resources/next/down.sql")),
    ] {
        fs::write(folder.join(format!("{number:04}_next.{kind}.sql")), text)?;
    }
    Ok(folder)
}

/// What serves the app. In place of fetching its image from a registry, it finds the app in its own; the version before too.
fn app(programs: &Programs) -> Result<Image> {
    let root = workspace::root();
    let service = &programs.service;
    let entry = match service.host {
        Host::Spin => include_str!("../resources/spin.sh").to_owned(),
        Host::Devhost => devhost_entry(&root)?,
    };
    let entry = entry.replace("@BEFORE@", before::VERSION);
    let image = Image::new("ghcr.io/spinframework/spin:v3.6.3", &["/entry"])
        .root()
        .with(&service.host_program, "bin/spin")
        .with(&root.join("spin.toml"), "app/spin.toml")
        .script("entry", &entry);
    let image = match &programs.before {
        Before::Built { folder, .. } => image.with(folder, "before"),
        Before::NotWanted | Before::NotToBeHad(_) => image,
    };
    let components = stack::programs::components::names()?;
    Ok(components.iter().fold(image, |image, name| {
        let file = format!(
            "target/wasm32-wasip2/release/{}.wasm",
            name.replace('-', "_")
        );
        image.with(&root.join(&file), &format!("app/{file}"))
    }))
}

/// The development host takes variables by its command line only.
fn devhost_entry(root: &Path) -> Result<String> {
    let manifest = fs::read_to_string(root.join("spin.toml"))?;
    let variables = manifest
        .lines()
        .skip_while(|line| *line != "[variables]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let mut script = String::from(
        "app=/app\nfor word; do case $word in *:@BEFORE@) app=/before ;; esac; done\n\
         set -- up --from $app/spin.toml --listen 0.0.0.0:80\n",
    );
    for name in variables
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(" =").next())
    {
        if !name.is_empty() {
            let variable = format!("SPIN_VARIABLE_{}", name.to_uppercase());
            script.push_str(&format!("if [ -n \"${{{variable}+set}}\" ]; then set -- \"$@\" --variable \"{name}=${variable}\"; fi\n"));
        }
    }
    script.push_str("exec /bin/spin \"$@\"\n");
    Ok(script)
}

/// Kafka as the manifests in this repository describe it, with a Java that has what it needs and no more.
fn kafka(programs: &Programs, folder: &Path) -> Result<Image> {
    let kafka = programs
        .service
        .kafka
        .as_ref()
        .context("Kafka was not prepared")?;
    let java = kafka.java.canonicalize()?;
    let home = java
        .parent()
        .and_then(Path::parent)
        .context("java is in a folder")?;
    let runtime = folder.join("java");
    let mut jlink = Command::new(home.join("bin/jlink"));
    jlink
        .args(["--add-modules", "java.base,java.desktop,java.logging,java.management,java.naming,java.net.http,java.security.jgss,java.security.sasl,java.sql,java.xml,jdk.crypto.ec,jdk.management,jdk.unsupported"])
        .args(["--strip-debug", "--no-man-pages", "--no-header-files", "--output"])
        .arg(&runtime);
    process::read(jlink, Duration::from_secs(120)).context("jlink makes the broker's Java")?;
    let k8s = workspace::root().join("k8s");
    Ok(Image::new(KAFKA, &["/start"])
        .with(&runtime, "java")
        .with(&kafka.jars, "jars")
        .with(&kafka.program, "bin/kafka")
        .with(&k8s.join("kafka/strimzi"), "manifests/kafka")
        .with(&k8s.join("dapr-components"), "manifests/dapr")
        .script("start", include_str!("../resources/kafka.sh")))
}

fn tool(name: &str) -> Result<PathBuf> {
    let path = workspace::find_program(name).with_context(|| format!("{name} is not on PATH"))?;
    Ok(path.canonicalize()?)
}
