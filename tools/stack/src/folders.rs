//! Where a stack keeps its files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::endpoints::{Secrets, random_hex, write_private};

/// Where a stack keeps logs and data.
#[derive(Debug)]
pub(crate) struct Folders {
    /// Logs, and what `spin` writes.
    pub(crate) state: PathBuf,
    /// Data of Postgres, the broker and the scheduler.
    pub(crate) data: PathBuf,
    persistent: bool,
    temporary_state: Option<TempDir>,
    _temporary_data: Option<TempDir>,
}

impl Folders {
    /// Data in `persist`, logs in `state_dir`; without them in temporary folders.
    pub(crate) fn new(persist: Option<&Path>, state_dir: Option<&Path>) -> Result<Self> {
        let absolute = |folder: &Path| {
            fs::create_dir_all(folder)
                .and_then(|()| folder.canonicalize())
                .with_context(|| format!("cannot make {}", folder.display()))
        };
        let (data, temporary_data) = match persist {
            Some(folder) => (absolute(folder)?, None),
            None => {
                let folder = tempfile::Builder::new().prefix("todo-events-").tempdir()?;
                // Postgres may run as another user, who passes through to a folder of its own.
                fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let (state, temporary_state) = match state_dir {
            Some(folder) => (absolute(folder)?, None),
            None => {
                let folder = tempfile::Builder::new()
                    .prefix("todo-events-logs-")
                    .tempdir()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        fs::create_dir_all(state.join("logs"))?;
        let folders = Self {
            state,
            data,
            persistent: persist.is_some(),
            temporary_state,
            _temporary_data: temporary_data,
        };
        folders.remove_old_logs()?;
        Ok(folders)
    }

    /// The log file of a service.
    pub(crate) fn log(&self, service: &str) -> PathBuf {
        self.state.join(format!("logs/{service}.log"))
    }

    /// Where Apache Kafka keeps its data.
    pub(crate) fn kafka(&self) -> PathBuf {
        self.data.join("kafka")
    }

    /// The file of the Secrets of Apache Kafka's users.
    pub(crate) fn kafka_secrets(&self) -> PathBuf {
        self.kafka().join("secrets.json")
    }

    fn remove_old_logs(&self) -> Result<()> {
        for folder in ["logs", "app/logs"] {
            for entry in fs::read_dir(self.state.join(folder)).into_iter().flatten() {
                fs::remove_file(entry?.path())?;
            }
        }
        Ok(())
    }

    /// New secrets, or those kept with the data.
    pub(crate) fn secrets(&self) -> Result<Secrets> {
        if !self.persistent {
            return Secrets::generate();
        }
        let path = self.data.join("secrets.json");
        match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .with_context(|| format!("{} holds no secrets", path.display())),
            Err(_) => {
                let secrets = Secrets::generate()?;
                write_private(&path, &serde_json::to_vec(&secrets)?)?;
                Ok(secrets)
            }
        }
    }

    /// A new name for the stack's database, or the one kept with the data.
    pub(crate) fn database(&self) -> Result<String> {
        let name = format!("todo_{}", random_hex(6)?);
        if !self.persistent {
            return Ok(name);
        }
        let path = self.data.join("database");
        if !path.exists() {
            write_private(&path, name.as_bytes())?;
        }
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    pub(crate) fn keep_logs(&mut self) {
        if let Some(folder) = self.temporary_state.take() {
            eprintln!("logs of the stack: {}", folder.keep().display());
        }
    }
}
