//! A Rust toolchain that can compile for `wasm32-wasip2`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::programs::debian_toolchain;
use crate::report::Report;
use crate::{process, workspace};

/// The target the components are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// How to call cargo so that it can compile for [`TARGET`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WasmToolchain {
    /// The user's own toolchain has the target.
    Installed,
    /// The user's toolchain, copied to this folder, with the standard library's source beside it;
    /// the library is compiled along with the components.
    FromSource(PathBuf),
}

impl WasmToolchain {
    /// A `cargo build --release` command for the target.
    #[must_use]
    pub fn build_command(&self, target_dir: &Path) -> Command {
        let build = ["build", "--release", "--target", TARGET];
        match self {
            Self::Installed => {
                crate::programs::cargo::command(Path::new("cargo"), target_dir, build)
            }
            Self::FromSource(sysroot) => {
                let cargo = sysroot.join("bin/cargo");
                let mut command = crate::programs::cargo::command(&cargo, target_dir, build);
                command.envs(Self::environment(sysroot));
                command
            }
        }
    }

    /// What makes the cargo of a [`WasmToolchain::FromSource`] compile the standard library.
    #[must_use]
    pub fn environment(sysroot: &Path) -> [(&'static str, PathBuf); 4] {
        [
            ("RUSTC", sysroot.join("bin/rustc")),
            // rustup's, which `cargo run` passes on, would load the other compiler.
            ("LD_LIBRARY_PATH", sysroot.join("lib")),
            ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort".into()),
            // It is not stable yet.
            ("RUSTC_BOOTSTRAP", "1".into()),
        ]
    }
}

/// Finds or makes a toolchain with the target: as installed; else `rustup target add`; else the
/// standard library's source from Debian, for machines that reach a Debian mirror but not Rust's
/// own downloads.
///
/// # Errors
/// When none of the ways works; the message says how to get the target.
pub fn prepare(report: &Report) -> Result<WasmToolchain> {
    let sysroot = sysroot()?;
    if has_target(&sysroot) {
        return Ok(WasmToolchain::Installed);
    }
    let version = rust_version()?;
    let copy = workspace::cache()?.join(format!("wasm-toolchain/{version}"));
    if copy.is_dir() {
        return Ok(WasmToolchain::FromSource(copy));
    }
    let mut reasons = Vec::new();
    if workspace::find_program("rustup").is_some() {
        report.step(format!("rustup target add {TARGET}"));
        match add_with_rustup() {
            Ok(()) if has_target(&sysroot) => return Ok(WasmToolchain::Installed),
            Ok(()) => reasons.push("rustup added the target to another toolchain".to_owned()),
            Err(error) => reasons.push(format!("{error:#}")),
        }
    } else {
        reasons.push("rustup is not on PATH".to_owned());
    }
    report.step(format!(
        "no {TARGET} from rustup; taking the standard library's source from Debian"
    ));
    match debian_toolchain::make(&sysroot, &version, &copy) {
        Ok(()) => Ok(WasmToolchain::FromSource(copy)),
        Err(error) => {
            reasons.push(format!("{error:#}"));
            bail!(
                "Rust {version} cannot compile for {TARGET}. To fix it: `rustup target add {TARGET}`.\n  tried: {}",
                reasons.join("\n  tried: ")
            )
        }
    }
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join(format!("lib/rustlib/{TARGET}/lib/self-contained"))
        .is_dir()
}

fn add_with_rustup() -> Result<()> {
    let mut command = Command::new("rustup");
    command
        .args(["target", "add", TARGET])
        .current_dir(workspace::root());
    process::read(command, Duration::from_secs(180)).map(drop)
}

/// The folder of the toolchain that `rust-toolchain.toml` chooses.
fn sysroot() -> Result<PathBuf> {
    rustc(["--print", "sysroot"]).map(PathBuf::from)
}

/// For example `1.95.0`.
fn rust_version() -> Result<String> {
    let version = rustc(["--version"])?;
    let number = version.split_whitespace().nth(1);
    Ok(number
        .with_context(|| format!("`rustc --version` says {version:?}"))?
        .to_owned())
}

fn rustc<const N: usize>(args: [&str; N]) -> Result<String> {
    let mut command = Command::new("rustc");
    command.args(args).current_dir(workspace::root());
    process::read(command, Duration::from_secs(60))
        .context("Rust is needed; install it with rustup")
}
