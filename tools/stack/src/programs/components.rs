//! Compiling the components to where `spin.toml` expects them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::programs::cargo::Cargo;
use crate::programs::wasm_target::{self, TARGET};
use crate::report::Report;
use crate::{process, workspace};

/// The crates in `components/`, by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    let folder = workspace::root().join("components");
    let mut names = Vec::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.extend(entry.file_name().to_str().map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

/// Compiles all components to `target/wasm32-wasip2/release/*.wasm` in the repository.
///
/// # Errors
/// When the target cannot be had or a component does not compile.
pub fn build(cargo: &Cargo, report: &Report) -> Result<()> {
    let toolchain = wasm_target::prepare(report)?;
    let names = names()?;
    report.step(format!("compiling components: {}", names.join(", ")));
    let mut command = toolchain.build_command(cargo.target_dir());
    Cargo::quieten(&mut command);
    for name in &names {
        command.args(["--package", name]);
    }
    process::run(command)?;

    let built = cargo.target_dir().join(TARGET).join("release");
    let wanted = workspace::root()
        .join("target")
        .join(TARGET)
        .join("release");
    let mut sizes = Vec::new();
    for name in &names {
        let file = format!("{}.wasm", name.replace('-', "_"));
        let bytes = copy_if_changed(&built.join(&file), &wanted.join(&file))?;
        sizes.push(format!("{name} {} KB", bytes / 1000));
    }
    report.step(format!("components compiled: {}", sizes.join(", ")));
    Ok(())
}

/// Copies a file unless the copy has the same content, and returns its size. A reader sees the old
/// file or the new one, never a part.
pub(crate) fn copy_if_changed(from: &Path, to: &Path) -> Result<u64> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    if from == to || fs::read(to).is_ok_and(|existing| existing == content) {
        return Ok(size);
    }
    let folder = to
        .parent()
        .with_context(|| format!("{} has no parent", to.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let partial = tempfile::NamedTempFile::new_in(folder)?;
    fs::copy(from, partial.path()).with_context(|| format!("cannot copy {}", from.display()))?;
    partial
        .persist(to)
        .with_context(|| format!("cannot write {}", to.display()))?;
    Ok(size)
}
