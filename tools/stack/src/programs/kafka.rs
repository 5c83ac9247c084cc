//! Apache Kafka, fetched by Maven, and the program in `tools/kafka` that runs it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::programs::build_cache;
use crate::report::Report;
use crate::{process, workspace};

/// The oldest Java that Kafka 4's broker runs on.
const JAVA: u32 = 17;

/// What an Apache Kafka broker is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KafkaPrograms {
    /// Runs the broker as the manifests in `k8s/kafka/strimzi` describe it.
    pub program: PathBuf,
    /// The folder of Kafka's libraries.
    pub jars: PathBuf,
    /// The Java that runs them.
    pub java: PathBuf,
}

/// Fails at once where Kafka cannot be run or downloaded.
///
/// # Errors
/// When Java or Maven is missing; the message says what to install.
pub fn check() -> Result<()> {
    java().map(drop)?;
    maven().map(drop)
}

/// Downloads Kafka and builds the program that runs it, unless both are in the cache.
pub(crate) fn prepare(report: &Report) -> Result<KafkaPrograms> {
    let java = java()?;
    let what = "the program that runs Kafka, and downloading Kafka";
    let built = build_cache::get("kafka", what, report, |sources, into| {
        build_cache::go_build(sources, into, &["./cmd/..."])?;
        download(&sources.join("pom.xml"), &into.join("jars"))
    })?;
    Ok(KafkaPrograms {
        program: built.join("bin/kafka"),
        jars: built.join("jars"),
        java,
    })
}

fn download(pom: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let mut copy = Command::new(maven()?);
    copy.args(["--quiet", "--batch-mode", "--file"])
        .arg(pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", into.display()));
    process::read(copy, Duration::from_secs(600))
        .map(drop)
        .context("Maven could not download Kafka")
}

fn maven() -> Result<PathBuf> {
    workspace::find_program("mvn").context(
        "Maven is needed to download Apache Kafka; install it and put `mvn` on PATH (Debian: apt-get install maven)",
    )
}

/// The Java of `JAVA_HOME`, or else the one on `PATH`.
fn java() -> Result<PathBuf> {
    let needed = format!(
        "Java {JAVA} or later is needed to run Apache Kafka; install it and put `java` on PATH (Debian: apt-get install default-jre-headless)"
    );
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let java = home
        .filter(|java| workspace::is_executable(java))
        .or_else(|| workspace::find_program("java"))
        .with_context(|| needed.clone())?;
    let mut version = Command::new(&java);
    version.arg("-version");
    let printed = process::capture(version, Duration::from_secs(20))?.stderr;
    let printed = String::from_utf8_lossy(&printed);
    match major_version(&printed) {
        Some(version) if version >= JAVA => Ok(java),
        Some(version) => bail!("{needed}; {} is Java {version}", java.display()),
        None => bail!("{needed}; {} is none: {}", java.display(), printed.trim()),
    }
}

/// 17 from `openjdk version "17.0.15" 2025-04-15`, 8 from `java version "1.8.0_452"`.
fn major_version(printed: &str) -> Option<u32> {
    let (_, version) = printed.split_once('"')?;
    let version = version.strip_prefix("1.").unwrap_or(version);
    let digits = version
        .split(|other: char| !other.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_java_prints() {
        let debian = "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment";
        assert_eq!(major_version(debian), Some(17));
        assert_eq!(major_version("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major_version("java version \"1.8.0_452\""), Some(8));
        assert_eq!(major_version("Error: could not find libjava.so"), None);
    }
}
