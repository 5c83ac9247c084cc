//! Child processes that never outlive this one, and services among them.
//!
//! Linux ends a child when the *thread* that started it ends (`PR_SET_PDEATHSIG`), so one thread
//! that lives as long as the process starts all of them. Elsewhere a killed `xtask` can leave
//! children behind; stopped by a signal it stops them itself everywhere.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;

use crate::interrupt;

/// How long a wait sleeps between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(15);

struct Request {
    command: Command,
    death_signal: Signal,
    reply: mpsc::Sender<io::Result<Child>>,
}

/// Starts a command that gets `death_signal` when this process ends, however it ends.
///
/// # Errors
/// When the program cannot be started.
pub fn spawn(command: Command, death_signal: Signal) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let program = command.get_program().to_string_lossy().into_owned();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for mut request in requests {
                die_with_parent(&mut request.command, request.death_signal);
                // Nobody waits for the reply only if the asking thread is gone.
                let _ = request.reply.send(request.command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    spawner
        .send(Request {
            command,
            death_signal,
            reply,
        })
        .map_err(|_| anyhow!("the thread that starts processes has ended"))?;
    answer
        .recv()
        .context("the thread that starts processes has ended")?
        .with_context(|| format!("cannot start {program}"))
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the closure runs between fork and exec; it makes two system calls and allocates nothing"
)]
fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // The parent may have ended before the request was made.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    };
    // SAFETY: `ask` only makes system calls that are safe to make after a fork.
    unsafe {
        command.pre_exec(ask);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command, _signal: Signal) {}

/// Runs a command to its end, with this process' output, and fails unless it exits with 0.
///
/// # Errors
/// When it cannot be started, does not succeed, or a signal asks this command to stop.
pub fn run(command: Command) -> Result<()> {
    let what = describe(&command);
    let mut child = spawn(command, Signal::TERM)?;
    let status = wait(&mut child, None, &what)?;
    interrupt::check()?;
    if !status.success() {
        bail!("`{what}` failed ({status})");
    }
    Ok(())
}

/// Runs a command to its end and returns its standard output, trimmed.
///
/// # Errors
/// When it cannot be started, is not done within `limit`, or does not succeed; its standard error
/// is in the message.
pub fn read(command: Command, limit: Duration) -> Result<String> {
    let what = describe(&command);
    let output = capture(command, limit)?;
    if !output.status.success() {
        bail!(
            "`{what}` failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command to its end and returns what it printed, whatever its exit code.
///
/// # Errors
/// When it cannot be started or is not done within `limit`.
pub fn capture(mut command: Command, limit: Duration) -> Result<Output> {
    let what = describe(&command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(command, Signal::TERM)?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let status = wait(&mut child, Some(limit), &what)?;
    interrupt::check()?;
    Ok(Output {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

fn read_all<R: io::Read + Send + 'static>(source: Option<R>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What was read before an error is still worth showing.
            let _ = source.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Waits for a command's end. After a signal to stop, or past the limit, it is terminated first.
fn wait(child: &mut Child, limit: Option<Duration>, what: &str) -> Result<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child")? {
            return Ok(status);
        }
        let late = limit.is_some_and(|limit| began.elapsed() > limit);
        if late || interrupt::requested() {
            signal(child.id(), Signal::TERM);
            if !exits_within(child, Duration::from_secs(5)) {
                signal(child.id(), Signal::KILL);
                child.wait().context("cannot wait for a child")?;
            }
            interrupt::check()?;
            bail!(
                "`{what}` was not done within {} s",
                limit.unwrap_or_default().as_secs()
            );
        }
        thread::sleep(POLL);
    }
}

/// Whether the child ends by itself within the limit.
pub(crate) fn exits_within(child: &mut Child, limit: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < limit {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        thread::sleep(POLL);
    }
    false
}

/// Asks a process to stop.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// Sends a signal to one process that this one started and has not waited for yet.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // Gone already is as good.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// A process and all its descendants, parents first: servers that fork (Postgres) and launchers
/// (`spin up`) are stopped or killed whole. Only the process itself where there is no `/proc`.
#[must_use]
pub fn tree(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(parent) = parent_of(pid) {
            parents.push((pid, parent));
        }
    }
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&member) = tree.get(next) {
        tree.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == member)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    tree
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; after it come the state and the parent.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_reports_what_it_wrote_to_standard_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        let error = read(command, Duration::from_secs(5)).expect_err("it exits with 3");
        assert!(error.to_string().contains("broken"), "{error}");
    }

    #[test]
    fn a_command_past_its_limit_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let began = Instant::now();
        let error = read(command, Duration::from_millis(100)).expect_err("it sleeps on");
        assert!(error.to_string().contains("not done within"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_tree_holds_children_of_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'sleep 60; :' & wait"]);
        let mut child = spawn(command, Signal::KILL).expect("sh starts");
        let began = Instant::now();
        while tree(child.id()).len() < 3 && began.elapsed() < Duration::from_secs(5) {
            thread::sleep(POLL);
        }
        let members = tree(child.id());
        assert_eq!(members.len(), 3, "{members:?}");
        members
            .iter()
            .rev()
            .for_each(|pid| signal(*pid, Signal::KILL));
        child.wait().expect("it was killed");
    }
}
