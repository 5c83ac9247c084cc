//! The events' description, checked by AsyncAPI's own parser and rendered by its own generator (`tools/asyncapi`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::programs::build_cache;
use crate::report::Report;
use crate::{process, workspace};

/// The document, in the repository.
const DOCUMENT: &str = "components/task-api/asyncapi.json";

/// What `tools/asyncapi` holds.
const FILES: [&str; 4] = [".npmrc", "package-lock.json", "package.json", "render.js"];

/// The oldest Node.js that the generator runs on.
pub(crate) const OLDEST_NODE: u32 = 18;

/// How long installing the generator may take.
const INSTALLING: Duration = Duration::from_secs(600);

/// How long rendering may take; the first time compiles the template.
const RENDERING: Duration = Duration::from_secs(300);

/// The generator, installed.
pub struct Renderer {
    folder: PathBuf,
}

impl Renderer {
    /// Finds the generator in the cache or installs it there, keyed by its lock file; none where there is no Node.js.
    ///
    /// # Errors
    /// When it cannot be downloaded.
    pub fn prepare(report: &Report) -> Result<Option<Self>> {
        let Some(node) = node_version() else {
            report.step(format!(
                "the events' description is not rendered: there is no Node.js {OLDEST_NODE} or later with npm on PATH"
            ));
            return Ok(None);
        };
        let sources = workspace::root().join("tools/asyncapi");
        let mut digest = Sha256::new().chain_update(node);
        for file in FILES {
            let path = sources.join(file);
            let content =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            digest.update(content);
        }
        let name = format!("asyncapi-{}", build_cache::short(digest));
        let folder = build_cache::kept(&name, "asyncapi", |folder| {
            report.step("installing the generator of AsyncAPI with npm (a minute the first time)");
            for file in FILES {
                fs::copy(sources.join(file), folder.join(file))?;
            }
            let mut install = Command::new("npm");
            install.args(["ci", "--loglevel=error"]).current_dir(folder);
            process::read(install, INSTALLING)
                .context("the generator of AsyncAPI cannot be installed")?;
            report.step("the generator of AsyncAPI installed");
            Ok(())
        })?;
        Ok(Some(Self { folder }))
    }

    /// Requires that the document is valid to the parser, and that the page which the generator makes of it shows every
    /// server, topic, operation, message and schema. The page stays, for people to look at.
    ///
    /// # Errors
    /// When it is not valid, or something is not shown.
    pub fn run(&self, report: &Report) -> Result<()> {
        let path = workspace::root().join(DOCUMENT);
        let folder = workspace::state_dir().join("asyncapi");
        self.render(&path, &folder)
            .with_context(|| format!("{DOCUMENT} is not valid AsyncAPI, or cannot be rendered"))?;
        let document: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let page = folder.join("index.html");
        let shown = fs::read_to_string(&page)
            .with_context(|| format!("the generator made no {}", page.display()))?;
        // The page's text; the document that it carries along for its scripts follows.
        let body = shown.split("<body>").nth(1).unwrap_or_default();
        let body = body.split("<script").next().unwrap_or_default();
        let mut counts = Vec::new();
        for (what, pointer, place) in [
            ("servers", "/servers", "id=\"server-"),
            ("topics", "/channels", ">"),
            ("operations", "/operations", "id=\"operation-"),
            ("messages", "/components/messages", "id=\"message-"),
            ("schemas", "/components/schemas", "id=\"schema-"),
        ] {
            let all = document.pointer(pointer).and_then(Value::as_object);
            let all = all.with_context(|| format!("{DOCUMENT} has no {pointer}"))?;
            for (name, each) in all {
                let action = each["action"].as_str();
                let action = action.map_or_else(String::new, |action| format!("{action}-"));
                let end = if place == ">" { "<" } else { "\"" };
                if !body.contains(&format!("{place}{action}{name}{end}")) {
                    bail!("{} does not show {name}, one of the {what}", page.display());
                }
            }
            counts.push(format!("{} {what}", all.len()));
        }
        // What is not valid is refused, or the check says nothing.
        let mut broken = document;
        broken["operations"]["send-tasks"]["action"] = "publish".into();
        let scratch = tempfile::tempdir()?;
        let path = scratch.path().join("broken.json");
        fs::write(&path, broken.to_string())?;
        if self.render(&path, scratch.path()).is_ok() {
            bail!("a document that is not valid AsyncAPI was rendered");
        }
        report.step(format!(
            "AsyncAPI: rendered {} as {}",
            counts.join(", "),
            page.display()
        ));
        Ok(())
    }

    fn render(&self, document: &Path, folder: &Path) -> Result<()> {
        let mut render = Command::new("node");
        render
            .arg(self.folder.join("render.js"))
            .args([document, folder]);
        process::read(render, RENDERING)?;
        Ok(())
    }
}

/// The version of Node.js, if it and npm are there and it is not too old.
pub(crate) fn node_version() -> Option<String> {
    let version = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version");
        process::read(command, Duration::from_secs(60)).ok()
    };
    version("npm")?;
    let node = version("node")?.trim().to_owned();
    let major: u32 = node
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()?;
    (major >= OLDEST_NODE).then_some(node)
}
