//! Where things are: the repository, and this project's folder in the user's cache.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::interrupt;

/// The repository's root, found upwards from the working directory by its `spin.toml` (cargo runs
/// tests in their crate's folder), or else the one this program was compiled in.
#[must_use]
pub fn root() -> PathBuf {
    let compiled_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let from = env::current_dir().unwrap_or_else(|_| compiled_in.clone());
    let found = from
        .ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file());
    let root = found.map_or(compiled_in, Path::to_path_buf);
    root.canonicalize().unwrap_or(root)
}

/// `<the user's cache>/todo-events`: what is costly to make and safe to delete.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set, or the folder cannot be made.
pub fn cache() -> Result<PathBuf> {
    let user_cache = match env::var_os("XDG_CACHE_HOME")
        .filter(|path| Path::new(path).is_absolute())
    {
        Some(path) => PathBuf::from(path),
        None => {
            let home = env::var_os("HOME")
                .filter(|home| !home.is_empty())
                .context("neither HOME nor XDG_CACHE_HOME is set; set one, for the build cache")?;
            let home = PathBuf::from(home);
            if cfg!(target_os = "macos") {
                home.join("Library/Caches")
            } else {
                home.join(".cache")
            }
        }
    };
    let cache = user_cache.join("todo-events");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

/// What `up` leaves for the other commands, and logs: `.todo-events` in the repository, or the folder that
/// `TODO_EVENTS_STATE_DIR` names.
#[must_use]
pub fn state_dir() -> PathBuf {
    match env::var_os("TODO_EVENTS_STATE_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => root().join(folder),
        None => root().join(".todo-events"),
    }
}

/// Takes a lock that no other process of this project holds, waiting for it; dropped, it is free.
///
/// # Errors
/// When the lock file cannot be made, or a signal asks this command to stop.
pub fn lock(path: &Path) -> Result<File> {
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(lock);
        }
        // Not by a blocking call, which Ctrl-C would not end.
        interrupt::check()?;
        thread::sleep(Duration::from_millis(100));
    }
}

/// As [`lock`], but `None` at once when another process holds it.
///
/// # Errors
/// When the lock file cannot be made.
pub fn try_lock(path: &Path) -> Result<Option<File>> {
    let file = open_lock(path)?;
    let result = file.try_lock();
    held(file, path, result)
}

/// As [`try_lock`], but shared with other holders of a shared lock.
///
/// # Errors
/// When the lock file cannot be made.
pub fn try_lock_shared(path: &Path) -> Result<Option<File>> {
    let file = open_lock(path)?;
    let result = file.try_lock_shared();
    held(file, path, result)
}

fn held(file: File, path: &Path, result: Result<(), fs::TryLockError>) -> Result<Option<File>> {
    match result {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn open_lock(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// A name for this clone that changes when the folder is removed and cloned again.
///
/// # Errors
/// When the root cannot be read.
pub fn identity() -> Result<String> {
    let root = root();
    let metadata = root
        .metadata()
        .with_context(|| format!("cannot read {}", root.display()))?;
    Ok(format!("{} {}", root.display(), metadata.ino()))
}

/// The program of this name on `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

/// Whether this is a file that may be run.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}
