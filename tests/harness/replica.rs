//! A second replica of the app, on the database and the sidecar of a stack.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use stack::endpoints::Endpoints;
use stack::{net, ports, process, workspace};

use crate::logs;
use crate::wait::{Limit, until};

/// A further app process. The stack's sidecar does not know of it: it serves clients, and gets no deliveries.
pub struct Replica {
    child: Child,
    endpoints: Endpoints,
}

impl Replica {
    /// Starts one, which keeps a breaker of its own, and waits until it is ready.
    pub fn of(stack: &Endpoints) -> Self {
        Self::with(stack, &[])
    }

    /// The same, with some of its variables set otherwise.
    pub fn with(stack: &Endpoints, variables: &[(&str, &str)]) -> Self {
        let mut endpoints = stack.clone();
        let port = match ports::free() {
            Ok(port) => port,
            Err(error) => panic!("{error:#}"),
        };
        let name = format!("replica-{port}");
        let state = stack.state_dir.join(&name);
        endpoints.api_url = format!("http://127.0.0.1:{port}");
        endpoints.component_logs = state.join("logs");
        let log = fs::create_dir_all(&state)
            .and_then(|()| fs::File::create(stack.state_dir.join(format!("logs/{name}.log"))));
        let authority = stack.database_url.split('@').nth(1).unwrap_or_default();
        let authority = authority.split('/').next().unwrap_or_default();
        let mut command = Command::new(&stack.programs.host_program);
        command
            .args(["up", "--quiet", "--from"])
            .arg(workspace::root().join("spin.toml"))
            .args(["--listen", &format!("127.0.0.1:{port}"), "--state-dir"])
            .arg(&state)
            .current_dir(workspace::root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0);
        if let Ok(log) = log {
            command.stderr(log);
        }
        let own = [
            ("database_url", stack.database_url.as_str()),
            ("database_authority", authority),
            ("dapr_url", &stack.dapr_url),
            ("dapr_api_token", &stack.secrets.dapr_token),
            ("app_api_token", &stack.secrets.app_token),
            ("jwt_secret", &stack.secrets.jwt_secret),
            ("sidecar_name", &name),
            ("log_level", "debug"),
        ];
        // Of two values of a variable, the last counts.
        for (name, value) in own.iter().chain(variables) {
            command.args(["--variable", &format!("{name}={value}")]);
        }
        let child = match process::spawn(command, Signal::TERM) {
            Ok(child) => child,
            Err(error) => panic!("{error:#}"),
        };
        let replica = Self { child, endpoints };
        let url = format!("{}/readyz", replica.endpoints.api_url);
        until("a second replica", Limit::RECOVERY, || {
            net::get(&url, &[]).map_err(|error| format!("{error:#}"))
        });
        replica
    }

    /// The stack, as clients of this replica see it.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The lines about a user's events that a component of this replica logged.
    pub fn event_lines(&self, component: &str, user: &str) -> Vec<Value> {
        let mut lines = logs::lines_of(&self.endpoints, component, user);
        lines.retain(|line| line["message"] == "event");
        lines
    }

    /// Freezes it: connections stay open, nothing goes on.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Replica::pause`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = group.map(|group| kill_process_group(group, signal)) {
            panic!("cannot signal the replica: {error}");
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // It was killed; nothing waits for its end.
        let _ = self.child.wait();
    }
}
