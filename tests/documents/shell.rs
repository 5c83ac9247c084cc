//! Blocks of commands, run in one shell as a reader would type them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::wait::{Limit, until};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use stack::process;
use stack::programs::cargo;

/// All commands of a document, with everything that they build.
const COMMANDS: Limit = Limit::new("a document's commands", 900);

/// What runs in the background may take this long to stop.
const STOPPING: Duration = Duration::from_secs(10);

/// A line that no command prints: the output of the block on a line of the document follows.
const MARK: &str = "== the block on line ";

/// A shell that has not been started.
pub struct Shell {
    command: Command,
    script: String,
    folder: PathBuf,
}

impl Shell {
    /// A shell in `folder`, with what the reader has in the environment. Its files are in `own`.
    pub fn new(folder: &Path, own: &Path) -> Self {
        let mut command = Command::new("bash");
        cargo::remove_own_variables(&mut command);
        command.current_dir(folder);
        Self {
            command,
            script: String::new(),
            folder: own.to_owned(),
        }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) {
        self.command.env(name, value);
    }

    /// Takes a variable out of the environment.
    pub fn unset(&mut self, name: &str) {
        self.command.env_remove(name);
    }

    /// Adds the commands of a block.
    pub fn add(&mut self, line: usize, commands: &str) {
        let _ = writeln!(self.script, "echo '{MARK}{line}'\n{commands}");
    }

    /// Runs all blocks, ends what still runs afterwards, and returns what each block printed.
    ///
    /// # Panics
    ///
    /// When a command fails; the message holds the end of what was printed.
    pub fn run(mut self) -> Vec<(usize, String)> {
        let script = self.folder.join("commands.sh");
        let log = self.folder.join("output.txt");
        fs::write(&script, &self.script).expect("a file can be written");
        let output = File::create(&log).expect("a file can be made");
        self.command
            .args(["-euo", "pipefail"])
            .arg(&script)
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("a file can be shared"))
            .stdout(output)
            .process_group(0);
        let mut shell = process::spawn(self.command, Signal::TERM)
            .map(Group)
            .unwrap_or_else(|error| panic!("{error:#}"));
        let status: ExitStatus = until("the end", COMMANDS, || {
            let status = shell.0.try_wait().expect("a child can be waited for");
            status.ok_or_else(|| tail(&log))
        });
        drop(shell);
        assert!(status.success(), "{status}:\n{}", tail(&log));
        outputs(&fs::read_to_string(&log).expect("a file can be read"))
    }
}

/// The shell and what it started in the background.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) else {
            return;
        };
        // After most documents nothing is left. `cargo xtask up` stops its services when it gets the signal.
        let _ = kill_process_group(group, Signal::TERM);
        let began = Instant::now();
        while test_kill_process_group(group).is_ok() && began.elapsed() < STOPPING {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

fn tail(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn outputs(log: &str) -> Vec<(usize, String)> {
    let mut outputs: Vec<(usize, String)> = Vec::new();
    for line in log.lines() {
        if let Some(number) = line.strip_prefix(MARK).and_then(|line| line.parse().ok()) {
            outputs.push((number, String::new()));
        } else if let Some((_, output)) = outputs.last_mut() {
            output.push_str(line);
            output.push('\n');
        }
    }
    outputs
}
