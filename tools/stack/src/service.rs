//! A long-running child process with a log, a readiness check and a way to stop it.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::process::{self, POLL};
use crate::{interrupt, net};

/// How long a service may take to end after it was asked to; longer than a sidecar whose app does not end.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How much of a log an error shows.
const TAIL_LINES: usize = 40;

/// What to start, and how.
#[derive(Debug)]
pub struct Launch {
    /// What it is called in what is printed.
    pub name: &'static str,
    /// Its program.
    pub program: PathBuf,
    /// What the program is given.
    pub arguments: Vec<String>,
    /// Variables, over those of this process.
    pub environment: Vec<(&'static str, String)>,
    /// Where it works.
    pub folder: PathBuf,
    /// The user to run as, when it is not this process' own.
    pub user: Option<u32>,
    /// What asks it to stop.
    pub stop: Signal,
    /// What it gets when this process ends without stopping it.
    pub death: Signal,
    /// Where its output goes.
    pub log: PathBuf,
    /// How long it may take to become ready.
    pub limit: Duration,
}

type Check = Box<dyn Fn() -> Result<()> + Send + Sync>;

/// A service that can be stopped, killed, paused and started again, with the same arguments and on
/// the same port. Dropped, it is killed.
pub struct Service {
    launch: Launch,
    ready: Check,
    child: Mutex<Option<Child>>,
}

impl Service {
    /// Describes a service; nothing is started yet.
    pub fn new(launch: Launch, ready: impl Fn() -> Result<()> + Send + Sync + 'static) -> Self {
        Self {
            launch,
            ready: Box::new(ready),
            child: Mutex::new(None),
        }
    }

    /// The service's name, for example `daprd`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.launch.name
    }

    /// The file with everything it has printed, over all its starts.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.launch.log
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it runs already, cannot be started, ends, or is not ready within its time limit; the
    /// message holds the end of its log.
    pub fn start(&self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Starts it without waiting.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn spawn(&self) -> Result<()> {
        let mut child = self.child();
        if child.is_some() {
            bail!("{} is running already", self.name());
        }
        *child = Some(self.launch.spawn()?);
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn wait_ready(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            interrupt::check()?;
            if let Some(status) = self.exit_status()? {
                bail!("{} ended ({status}){}", self.name(), self.tail());
            }
            let Err(reason) = (self.ready)() else {
                return Ok(());
            };
            if began.elapsed() > self.launch.limit {
                bail!(
                    "{} was not ready within {} s: {reason:#}{}",
                    self.name(),
                    self.launch.limit.as_secs(),
                    self.tail()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Asks it to stop, and kills it if it has not within 20 s.
    ///
    /// # Errors
    /// When its end cannot be waited for.
    pub fn stop(&self) -> Result<()> {
        self.request_stop();
        self.wait_stopped()
    }

    /// Asks it to stop, without waiting, if it runs. To be asked once: some take a second request for impatience.
    pub(crate) fn request_stop(&self) {
        if let Some(child) = self.child().as_ref() {
            // Paused, it would not hear the request.
            self.signal_tree(child.id(), Signal::CONT);
            process::signal(child.id(), self.launch.stop);
        }
    }

    /// Waits for the end of what was asked to stop, and kills it if it has not within 20 s.
    pub(crate) fn wait_stopped(&self) -> Result<()> {
        let Some(mut child) = self.child().take() else {
            return Ok(());
        };
        if process::exits_within(&mut child, STOP_LIMIT) {
            Ok(())
        } else {
            self.kill_child(child)
        }
    }

    /// Kills it and its children at once, as a crash would end it.
    ///
    /// # Errors
    /// When its end cannot be waited for.
    pub fn kill(&self) -> Result<()> {
        match self.child().take() {
            Some(child) => self.kill_child(child),
            None => Ok(()),
        }
    }

    /// Freezes it and its children: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal_running(Signal::STOP)
    }

    /// Lets it go on after [`Service::pause`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal_running(Signal::CONT)
    }

    /// Stops it, starts it again and waits until it is ready.
    ///
    /// # Errors
    /// As [`Service::stop`] and [`Service::start`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// Whether it has ended without being stopped or killed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.child()
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exit_status(&self) -> Result<Option<std::process::ExitStatus>> {
        let mut child = self.child();
        let Some(running) = child.as_mut() else {
            bail!("{} is not running", self.name());
        };
        let status = running.try_wait().context("cannot wait for a child")?;
        if status.is_some() {
            *child = None;
        }
        Ok(status)
    }

    fn signal_running(&self, signal: Signal) -> Result<()> {
        match self.child().as_ref() {
            Some(child) => {
                self.signal_tree(child.id(), signal);
                Ok(())
            }
            None => bail!("{} is not running", self.name()),
        }
    }

    fn signal_tree(&self, pid: u32, signal: Signal) {
        for member in process::tree(pid) {
            process::signal(member, signal);
        }
    }

    fn kill_child(&self, mut child: Child) -> Result<()> {
        self.signal_tree(child.id(), Signal::KILL);
        child.wait().context("cannot wait for a child")?;
        Ok(())
    }

    /// The end of the log, to put behind an error message.
    #[must_use]
    pub fn tail(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let shown = lines.len().saturating_sub(TAIL_LINES);
        format!(
            "\n--- end of {} ---\n{}\n---",
            self.log().display(),
            lines.get(shown..).unwrap_or_default().join("\n")
        )
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // There is nobody to report to; the kernel ends it with this process at the latest.
        let _ = self.kill();
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Service")
            .field("launch", &self.launch)
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

impl Launch {
    fn spawn(&self) -> Result<Child> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stderr(log.try_clone().context("cannot share a log file")?)
            .stdout(log)
            // Ctrl-C at the terminal is for `xtask`, which stops the services in order.
            .process_group(0);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        process::spawn(command, self.death)
    }
}

/// A check that a TCP port of 127.0.0.1 accepts connections.
pub fn accepts(port: u16) -> impl Fn() -> Result<()> + Send + Sync + 'static {
    move || net::connect(port)
}
