//! What drives the pages in the tests: a browser of this machine, and the packages that `tests/browser` needs of npm.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::asyncapi::{OLDEST_NODE, node_version};
use crate::programs::build_cache;
use crate::report::Report;
use crate::{process, workspace};

/// Where the stories are, in the repository.
const STORIES: &str = "tests/browser";

/// What says which packages there are.
const FILES: [&str; 3] = [".npmrc", "package-lock.json", "package.json"];

/// How long installing them may take.
const INSTALLING: Duration = Duration::from_secs(300);

/// The variable that names a browser.
const VARIABLE: &str = "CHROMIUM";

/// What Chromium and Chrome are called.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Where Chrome is on macOS.
const MACOS: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/// A browser and the packages that drive it.
#[derive(Debug)]
pub struct Browser {
    /// The browser's program.
    pub program: PathBuf,
    /// The folder that has `node_modules`.
    pub packages: PathBuf,
    /// The folder of the stories.
    pub stories: PathBuf,
}

impl Browser {
    /// Finds a browser, and finds the packages in the cache or installs them there, keyed by their lock file.
    ///
    /// # Errors
    /// When there is no browser or no Node.js, with how to get one, or the packages cannot be downloaded.
    pub fn prepare(report: &Report) -> Result<Self> {
        let program = program().with_context(|| {
            format!(
                "the tests of the pages need Chromium or Chrome, and none of {} is on PATH: `apt-get install chromium` \
                 installs it on Debian, https://www.google.com/chrome has it for other systems, and the variable {VARIABLE} \
                 names one that is elsewhere",
                NAMES.join(", ")
            )
        })?;
        let node = node_version().with_context(|| {
            format!(
                "the tests of the pages need Node.js {OLDEST_NODE} or later with npm on PATH: `apt-get install nodejs npm` \
                 installs them on Debian, https://nodejs.org has them for other systems"
            )
        })?;
        let stories = workspace::root().join(STORIES);
        let mut digest = Sha256::new().chain_update(node);
        for file in FILES {
            let path = stories.join(file);
            let content =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            digest.update(content);
        }
        let name = format!("browser-{}", build_cache::short(digest));
        let packages = build_cache::kept(&name, "browser", |folder| {
            report.step("installing the packages of tests/browser with npm");
            for file in FILES {
                fs::copy(stories.join(file), folder.join(file))?;
            }
            let mut install = Command::new("npm");
            install.args(["ci", "--loglevel=error"]).current_dir(folder);
            process::read(install, INSTALLING)
                .context("the packages of tests/browser cannot be installed")?;
            Ok(())
        })?;
        Ok(Self {
            program,
            packages,
            stories,
        })
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(PathBuf::from(named)).filter(|path| workspace::is_executable(path));
    }
    let on_path = NAMES.iter().find_map(|name| workspace::find_program(name));
    on_path.or_else(|| Some(PathBuf::from(MACOS)).filter(|path| workspace::is_executable(path)))
}
