//! A database for one test.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use e2e::shared_stack;
use postgres::{Client, NoTls};
use stack::workspace;

/// A database that is dropped with this.
pub struct ScratchDatabase {
    name: String,
    url: String,
}

impl ScratchDatabase {
    /// Creates one.
    pub fn create() -> Self {
        let database = Self::empty();
        let mut client = database.connect();
        for migration in files("migrations", ".up.sql") {
            execute(&mut client, &read(&migration));
        }
        database
    }

    /// Creates one without any migration.
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("scratch_{}_{number}", std::process::id());
        let server = &shared_stack().postgres_url;
        execute(&mut connect(server), &format!("CREATE DATABASE {name}"));
        let Some((base, _)) = server.rsplit_once('/') else {
            panic!("no database in the server's address");
        };
        let url = format!("{base}/{name}?sslmode=disable");
        Self { name, url }
    }

    /// A connection.
    pub fn connect(&self) -> Client {
        connect(&self.url)
    }

    /// The number that a statement returns.
    pub fn number(&self, statement: &str) -> i64 {
        match self.connect().query_one(statement, &[]) {
            Ok(row) => row.get(0),
            Err(error) => panic!("{error:?}: {statement}"),
        }
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let _ = connect(&shared_stack().postgres_url).batch_execute(&statement);
    }
}

fn connect(url: &str) -> Client {
    match Client::connect(url, NoTls) {
        Ok(client) => client,
        Err(error) => panic!("cannot connect: {error}"),
    }
}

/// Runs statements that must succeed.
pub fn execute(client: &mut Client, statements: &str) {
    if let Err(error) = client.batch_execute(statements) {
        panic!("{error:?}: {statements}");
    }
}

/// The text of a file.
pub fn read(path: &PathBuf) -> String {
    match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Files in a folder of the workspace whose names end in `ending`, in order.
pub fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(workspace::root().join(folder))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "nothing in {folder}");
    files
}
