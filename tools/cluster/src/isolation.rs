//! Namespaces of its own for the whole cluster, so that nothing of it outlives it: no process, bridge, firewall rule or mount.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use stack::process;

/// The first argument of the program that runs inside.
pub const INSIDE: &str = "inside";

/// The group of all of the cluster's control groups.
pub const CONTROL_GROUP: &str = "todo-cluster";

/// Runs this program once more, with `arguments`, in namespaces of its own for network, mounts and processes; and waits for
/// its end, at which the kernel ends and removes all that was started and made in them.
///
/// # Errors
/// When the namespaces are refused, or the program inside fails.
pub fn run_inside(arguments: &[OsString]) -> Result<()> {
    let mut unshare = Command::new("unshare");
    unshare
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
        ])
        .arg(env::current_exe().context("the program's own path is unknown")?)
        .arg(INSIDE)
        .args(arguments);
    let result = process::run(unshare);
    // The kernel ends what is left in the namespaces; a group can be removed once nobody is in it.
    for _ in 0..100 {
        let left: Vec<PathBuf> = control_groups()
            .iter()
            .map(|group| group.join(CONTROL_GROUP))
            .filter(|group| group.exists())
            .collect();
        if left.is_empty() {
            break;
        }
        left.iter().for_each(|group| remove_group(group));
        thread::sleep(Duration::from_millis(100));
    }
    result
}

/// Prepares mounts, network and control groups, once inside.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn prepare() -> Result<()> {
    // The node shares mounts with its pods.
    run("mount", &["--make-rshared", "/"])?;
    // What the node's programs write to fixed places is theirs alone, and gone with them.
    for folder in ["/run", "/var/lib", "/var/log"] {
        run("mount", &["-t", "tmpfs", "tmpfs", folder])?;
    }
    for group in control_groups() {
        let group = group.join(CONTROL_GROUP);
        fs::create_dir_all(&group).with_context(|| format!("cannot make {}", group.display()))?;
    }
    run("ip", &["link", "set", "lo", "up"])?;
    run("ip", &["link", "add", "node0", "type", "bridge"])?;
    run(
        "ip",
        &[
            "address",
            "add",
            &format!("{}/24", crate::NODE_ADDRESS),
            "dev",
            "node0",
        ],
    )?;
    run("ip", &["link", "set", "node0", "up"])?;
    // Nothing is reached by it; programs of the node want to see one.
    run("ip", &["route", "add", "default", "dev", "node0"])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("the node must forward")
}

/// The folder of the only hierarchy of control groups (version 2), or one for each controller (version 1).
fn control_groups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.is_symlink() && path.join("cgroup.procs").exists())
        .collect()
}

/// Removes a group and those in it. All processes in them are gone.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_group(&entry.path());
        }
    }
    // Whether it is gone is looked at afterwards.
    let _ = fs::remove_dir(group);
}

/// Fails when something of a cluster is outside of the namespaces.
///
/// # Errors
/// When a control group is still there; all else cannot outlive its namespace.
pub fn check_nothing_is_left() -> Result<()> {
    for group in control_groups() {
        let group = group.join(CONTROL_GROUP);
        anyhow::ensure!(!group.exists(), "{} is left behind", group.display());
    }
    Ok(())
}

/// Runs a command that is quick.
///
/// # Errors
/// When it fails.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    process::read(command, Duration::from_secs(30)).map(drop)
}
