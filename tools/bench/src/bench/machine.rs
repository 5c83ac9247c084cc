//! The machine that was measured on.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use stack::programs::{Host, Programs};
use stack::{process, workspace};

use super::now;

/// What it ran on: numbers mean little without.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    time: String,
    processors: usize,
    processor: String,
    system: String,
    load_average: String,
    host: String,
    commit: String,
}

impl Machine {
    pub(crate) fn look(programs: &Programs) -> Self {
        let line = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(workspace::root());
            process::read(command, Duration::from_secs(10))
                .ok()
                .and_then(|text| text.lines().next().map(str::to_owned))
                .unwrap_or_default()
        };
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("", |(_, name)| name);
        Self {
            time: now(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            processor: processor.to_owned(),
            system: line(Path::new("uname"), &["-sr"]),
            load_average: fs::read_to_string("/proc/loadavg").unwrap_or_default(),
            host: match programs.host {
                Host::Spin => line(&programs.host_program, &["--version"]),
                Host::Devhost => "the development host".to_owned(),
            },
            commit: line(Path::new("git"), &["describe", "--always", "--dirty"]),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {}, on {} processors {}, {}; commit {}",
            self.time, self.host, self.processors, self.processor, self.system, self.commit
        )
    }
}
