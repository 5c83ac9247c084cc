//! The documents' commands, run as they are written.
//!
//! Only what belongs to the reader is replaced: ports by free ones, the address of the reader's database by that of a
//! test's database. `spin` is the development host where no Spin is installed.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use e2e::shared_stack;
use stack::programs::wasm_target::{self, TARGET, WasmToolchain};
use stack::report::Report;
use stack::{ports, workspace};
use tempfile::TempDir;

use crate::commands::runs_here;
use crate::markdown::{Document, files};
use crate::shell::Shell;

/// The documents whose commands run here.
pub const RUN: [&str; 5] = [
    "README.md",
    "components/calendar/README.md",
    "docs/operations.md",
    "docs/quickstart.md",
    "tools/kubernetes/README.md",
];

/// What the documents call the reader's database.
const READERS_DATABASE: &str = "postgres://todo:todo@127.0.0.1:5432/todo?sslmode=disable";
/// Its port.
const READERS_POSTGRES: u16 = 5432;

#[test]
fn the_readme_runs() {
    let own = folder();
    run("README.md", shell(&workspace::root(), &own), |commands| {
        with_free_ports(commands, &mut BTreeMap::new())
    });
}

#[test]
fn the_quick_start_runs() {
    let own = folder();
    let database = Database::create();
    let mut shell = shell(&workspace::root(), &own);
    let mut ports = BTreeMap::new();
    shell.set(
        "SPIN_HTTP_LISTEN_ADDR",
        with_free_ports("127.0.0.1:3000", &mut ports),
    );
    shell.set(
        "SPIN_VARIABLE_DAPR_URL",
        with_free_ports("http://127.0.0.1:3500", &mut ports),
    );
    run("docs/quickstart.md", shell, |commands| {
        with_free_ports(commands, &mut ports)
            .replace(READERS_DATABASE, &database.url)
            .replace("127.0.0.1:5432", database.authority())
    });
}

/// Operators' commands work on the service named in the environment, if no service of this clone runs.
#[test]
fn the_operators_manual_runs() {
    let own = folder();
    let stack = shared_stack();
    let mut shell = shell(&workspace::root(), &own);
    shell.set("DATABASE_URL", &stack.database_url);
    shell.set("DAPR_HTTP_ENDPOINT", &stack.dapr_url);
    shell.set("DAPR_API_TOKEN", &stack.secrets.dapr_token);
    run("docs/operations.md", shell, str::to_owned);
}

#[test]
fn the_readme_of_the_kubernetes_tools_runs() {
    let own = folder();
    let shell = shell(&workspace::root(), &own);
    run("tools/kubernetes/README.md", shell, str::to_owned);
}

/// Runs in a copy, because it changes the lock file; and without the network, so that new releases cannot change the
/// result.
#[test]
fn the_calendars_readme_runs() {
    let own = folder();
    let copy = own.path().join("repository");
    copy_repository(&copy);
    let mut shell = shell(&copy, &own);
    shell.set("CARGO_TARGET_DIR", kept("calendar"));
    shell.set("CARGO_NET_OFFLINE", "true");
    run("components/calendar/README.md", shell, str::to_owned);
}

/// Runs a document's commands, and compares what they print with what the document says.
fn run(path: &str, mut shell: Shell, mut adapted: impl FnMut(&str) -> String) {
    let document = Document::read(path);
    for block in document.blocks.iter().filter(|block| runs_here(block)) {
        shell.add(block.line, &adapted(&block.text));
    }
    let outputs: BTreeMap<usize, String> = shell.run().into_iter().collect();
    for pair in document.blocks.windows(2) {
        if let [commands, promised] = pair
            && promised.info == "text output"
            && runs_here(commands)
        {
            let printed = outputs.get(&commands.line).map_or("", String::as_str);
            assert!(
                prints(printed, &promised.text),
                "{path}:{}: promised is\n{}\nprinted was\n{printed}",
                promised.line,
                promised.text
            );
        }
    }
}

/// Whether the promised lines appear in this order. `…` stands for anything.
fn prints(printed: &str, promised: &str) -> bool {
    let mut lines = printed.lines();
    promised.lines().all(|promise| {
        lines.any(|line| {
            let mut rest = line;
            promise
                .split('…')
                .map(str::trim)
                .all(|part| match rest.split_once(part) {
                    Some((_, after)) => {
                        rest = after;
                        true
                    }
                    None => false,
                })
        })
    })
}

#[test]
fn a_broken_promise_is_noticed() {
    let printed =
        "started\nthe event task.completed, sequence 2\nthe event task.created, sequence 3\n";
    assert!(prints(
        printed,
        "… task.completed, sequence …\n… task.created …"
    ));
    assert!(!prints(printed, "… task.created …\n… task.completed …"));
    assert!(!prints(printed, "… task.deleted …"));
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A shell whose `spin` is the host of the shared stack, and in which no service of this clone runs.
fn shell(folder: &Path, own: &TempDir) -> Shell {
    let stack = shared_stack();
    let programs = own.path().join("programs");
    fs::create_dir(&programs).expect("a folder can be made");
    script(
        &programs.join("spin"),
        &format!(
            "unset CARGO_TARGET_DIR\nCARGO_BUILD_BUILD_DIR='{}' exec '{}' \"$@\"",
            kept("spin-build").display(),
            stack.programs.host_program.display()
        ),
    );
    let toolchain = wasm_target::prepare(&Report::silent()).expect("a toolchain for components");
    if let WasmToolchain::FromSource(sysroot) = toolchain {
        let cargo = workspace::find_program("cargo").expect("cargo");
        let variables: String = WasmToolchain::environment(&sysroot)
            .map(|(name, value)| format!("export {name}='{}'; ", value.display()))
            .concat();
        script(
            &programs.join("cargo"),
            &format!(
                "case \"$*\" in *{TARGET}*) {variables} exec '{}/bin/cargo' \"$@\";; esac\nexec '{}' \"$@\"",
                sysroot.display(),
                cargo.display()
            ),
        );
    }
    let mut path = programs.into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());

    let mut shell = Shell::new(folder, own.path());
    shell.set("PATH", path);
    shell.set("TODO_EVENTS_STATE_DIR", own.path().join("state"));
    // `cargo xtask test` sets it for its own commands; the reader's cargo has its default.
    let default = workspace::cache().map(|cache| cache.join("cargo"));
    if default.is_ok_and(|default| env::var_os("CARGO_TARGET_DIR") == Some(default.into())) {
        shell.unset("CARGO_TARGET_DIR");
    }
    shell
}

/// The target folder of the documents' builds. It is not the one of `cargo xtask`, which selects other packages: each
/// would compile the other's components again.
fn kept(name: &str) -> PathBuf {
    let cache = workspace::cache().expect("a cache");
    cache.join("documents").join(name)
}

fn script(path: &Path, commands: &str) {
    fs::write(path, format!("#!/bin/sh\n{commands}\n")).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it can be made to run");
}

/// Replaces the ports of 127.0.0.1 by free ones, the same by the same. `cargo xtask up`, for which readers have another
/// terminal, is put into the background and waited for.
fn with_free_ports(commands: &str, ports: &mut BTreeMap<u16, u16>) -> String {
    const UP: &str = "cargo xtask up\n";
    let up = "cargo xtask up --listen 127.0.0.1:3000 > \"$TODO_EVENTS_STATE_DIR.up\" 2>&1 &\n\
              until grep 'The service is running' \"$TODO_EVENTS_STATE_DIR.up\"; do\n\
              kill -0 $! || { cat \"$TODO_EVENTS_STATE_DIR.up\"; exit 1; }; sleep 0.1; done\n";
    let commands = commands.replace(UP, up);
    let mut replaced = String::new();
    let mut rest = commands.as_str();
    let places = |text: &str| {
        ["127.0.0.1:", "-port "]
            .into_iter()
            .filter_map(|mark| text.find(mark).map(|place| place + mark.len()))
            .min()
    };
    while let Some(place) = places(rest) {
        let (before, after) = rest.split_at(place);
        replaced.push_str(before);
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        match number.parse() {
            Ok(port) if port >= 1024 && port != READERS_POSTGRES => {
                let free = ports
                    .entry(port)
                    .or_insert_with(|| ports::free().expect("a free port"));
                replaced.push_str(&free.to_string());
            }
            _ => replaced.push_str(number),
        }
        rest = after;
    }
    replaced + rest
}

/// A new database on the shared stack's server.
struct Database {
    name: String,
    url: String,
}

impl Database {
    fn create() -> Self {
        let name = format!("documents_{}", std::process::id());
        let server = &shared_stack().postgres_url;
        let address = server.split('?').next().unwrap_or_default();
        let (authority, _) = address
            .rsplit_once('/')
            .expect("an address with a database");
        let database = Self {
            url: format!("{authority}/{name}?sslmode=disable"),
            name,
        };
        database.execute("CREATE DATABASE");
        database
    }

    fn authority(&self) -> &str {
        let after = self.url.rsplit('@').next().unwrap_or_default();
        after.split('/').next().unwrap_or_default()
    }

    fn execute(&self, statement: &str) {
        let mut client = postgres::Client::connect(&shared_stack().postgres_url, postgres::NoTls)
            .expect("the server answers");
        client
            .batch_execute(&format!("{statement} {}", self.name))
            .expect("the statement succeeds");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.execute("DROP DATABASE IF EXISTS");
    }
}

/// Copies the repository with the files' times, by which cargo knows what has changed.
fn copy_repository(to: &Path) {
    let root = workspace::root();
    for file in files(&root) {
        let (from, copy) = (root.join(&file), to.join(&file));
        let folder = copy.parent().expect("a folder");
        fs::create_dir_all(folder).expect("a folder can be made");
        if let Ok(target) = fs::read_link(&from) {
            symlink(target, copy).expect("a link can be made");
            continue;
        }
        fs::copy(&from, &copy).expect("a file can be copied");
        let modified = from.metadata().and_then(|metadata| metadata.modified());
        File::options()
            .append(true)
            .open(&copy)
            .and_then(|file| file.set_modified(modified?))
            .expect("its time can be set");
    }
}
