//! The standard library for `wasm32-wasip2` from Debian's packages.
//!
//! `rust-src` (of the very version of the compiler) and `wasi-libc` are architecture-independent
//! and are only unpacked, never installed: apt works on package lists, a cache and a status file of
//! its own, and the toolchain they are put into is a copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::programs::wasm_target::TARGET;
use crate::{process, workspace};

/// The release whose packages hold recent Rust versions and a `wasi-libc` for WASI 0.2.
const SUITE: &str = "trixie-backports";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);

/// Copies the toolchain in `sysroot` to `destination` and adds what compiling for the target needs.
/// `destination` appears complete or not at all.
///
/// # Errors
/// When this is not a Debian-like machine, its mirror has no package of this Rust version, or the
/// toolchain is not one of rustup's.
pub fn make(sysroot: &Path, rust_version: &str, destination: &Path) -> Result<()> {
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if workspace::find_program(program).is_none() {
            bail!("{program} is not on PATH, so Debian's packages cannot be used");
        }
    }
    if !sysroot.join("lib/rustlib/components").is_file() {
        bail!("{} is not a toolchain of rustup's", sysroot.display());
    }
    let parent = destination
        .parent()
        .with_context(|| format!("{} has no parent", destination.display()))?;
    fs::create_dir_all(parent)?;
    let work = tempfile::tempdir_in(parent)?;
    let unpacked = Apt::new(&work.path().join("apt"))?.unpack(rust_version)?;
    let copy = work.path().join("toolchain");
    copy_tree(sysroot, &copy)?;
    add_library(&unpacked, &copy)?;
    match fs::rename(&copy, destination) {
        // Another process was faster.
        Err(_) if destination.is_dir() => Ok(()),
        result => result.with_context(|| format!("cannot make {}", destination.display())),
    }
}

/// apt with its files in a folder of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> Result<Self> {
        for sub in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        fs::write(folder.join("status"), "")?;
        let apt = Self {
            folder: folder.to_owned(),
        };
        let source = format!("deb [signed-by={KEYRING}] {} {SUITE} main\n", mirror()?);
        fs::write(folder.join("sources.list"), source)?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new(program);
        command.current_dir(self.folder.join("packages"));
        for option in [
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State::lists={}", path("lists")),
            format!("Dir::State::status={}", path("status")),
            format!("Dir::Cache={}", path("cache")),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // Run as root, apt would download as a user who cannot write here.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// Downloads and unpacks the packages; the folder returned is laid out like `/`.
    fn unpack(&self, rust_version: &str) -> Result<PathBuf> {
        let mut update = self.command("apt-get");
        update.arg("update");
        process::read(update, DOWNLOAD_LIMIT)?;

        let mut madison = self.command("apt-cache");
        madison.args(["madison", "rust-src"]);
        let listed = process::read(madison, Duration::from_secs(60))?;
        let rust_src = matching_version(&listed, rust_version)
            .with_context(|| format!("{SUITE} has no rust-src {rust_version}"))?;

        let mut download = self.command("apt-get");
        download.args(["download", &format!("rust-src={rust_src}"), "wasi-libc"]);
        process::read(download, DOWNLOAD_LIMIT)?;

        let root = self.folder.join("root");
        for package in fs::read_dir(self.folder.join("packages"))? {
            let mut extract = Command::new("dpkg-deb");
            extract.arg("-x").arg(package?.path()).arg(&root);
            process::read(extract, Duration::from_secs(120))?;
        }
        Ok(root)
    }
}

/// The Debian mirror this machine is set up with.
fn mirror() -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]);
    let listed = process::read(command, Duration::from_secs(60))?;
    listed
        .lines()
        .map(|uri| uri.trim().trim_end_matches('/'))
        .find(|uri| uri.ends_with("/debian"))
        .map(str::to_owned)
        .context("apt is not set up with a mirror of Debian")
}

/// The package version whose upstream part is `wanted`, from lines like
/// `rust-src | 1.95.0+dfsg1-2~bpo13+1 | …`.
fn matching_version(madison: &str, wanted: &str) -> Option<String> {
    madison
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .find(|version| version.split(['+', '-', '~']).next() == Some(wanted))
        .map(str::to_owned)
}

/// Puts the unpacked packages where the compiler looks for them.
fn add_library(unpacked: &Path, toolchain: &Path) -> Result<()> {
    let sources = unpacked.join("usr/src");
    let library = fs::read_dir(&sources)
        .with_context(|| format!("cannot read {}", sources.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().join("library")))
        .find(|path| path.is_dir())
        .context("the package rust-src holds no standard library")?;
    let source_home = toolchain.join("lib/rustlib/src/rust");
    fs::create_dir_all(&source_home)?;
    let destination = source_home.join("library");
    if destination.is_symlink() {
        fs::remove_file(&destination)?;
    } else if destination.is_dir() {
        fs::remove_dir_all(&destination)?;
    }
    copy_tree(&library, &destination)?;

    let self_contained = toolchain.join(format!("lib/rustlib/{TARGET}/lib/self-contained"));
    fs::create_dir_all(&self_contained)?;
    // Debian adds the target's folder below /usr/lib.
    let libc = unpacked.join(format!("usr/lib/{TARGET}"));
    for entry in fs::read_dir(&libc).with_context(|| format!("cannot read {}", libc.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name == "libc.a" || (name.starts_with("crt1") && name.ends_with(".o")) {
            fs::copy(&path, self_contained.join(name))?;
        }
    }
    Ok(())
}

/// Copies a folder. Files are hard links where the file system allows, so a toolchain costs no
/// space; nothing in the copy is ever changed in place.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &copy)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &copy)?;
        } else if fs::hard_link(&source, &copy).is_err() {
            fs::copy(&source, &copy)
                .with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_the_compilers_version_is_chosen() {
        let listed = "  rust-src | 1.96.1+dfsg1-2~bpo13+1 | mirror Packages\n  rust-src | 1.95.0+dfsg1-2~bpo13+1 | mirror Packages\n";
        assert_eq!(
            matching_version(listed, "1.95.0").as_deref(),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(matching_version(listed, "1.95"), None);
    }

    /// Needs a Debian mirror and a few minutes: `cargo test -p xtask -- --ignored`.
    #[test]
    #[ignore = "downloads packages"]
    fn a_component_compiles_with_debians_library() {
        let sysroot = process::read(
            {
                let mut command = Command::new("rustc");
                command.args(["--print", "sysroot"]);
                command
            },
            Duration::from_secs(60),
        )
        .expect("rustc is installed");
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Without the target that the toolchain may have.
        let bare = folder.path().join("bare");
        copy_tree(Path::new(&sysroot), &bare).expect("the toolchain can be copied");
        let _ = fs::remove_dir_all(bare.join("lib/rustlib").join(TARGET));
        let copy = folder.path().join("copy");
        make(&bare, "1.95.0", &copy).expect("the toolchain can be made");

        let mut build = crate::programs::wasm_target::WasmToolchain::FromSource(copy)
            .build_command(&folder.path().join("target"));
        build.args(["--package", "calendar"]);
        process::run(build).expect("a component compiles");
    }
}
