//! One module for each command.

use std::env;
use std::fmt;
use std::path::Path;

pub mod dead_letters;
pub mod lanes;
pub mod reconcile;
pub mod replay;
pub mod restored;

/// What this program is called in what it prints: by what it was called, so that a reader can type it.
pub const ME: Me = Me;

/// See [`ME`].
pub struct Me;

impl fmt::Display for Me {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let called = env::args_os().next();
        let name = called
            .as_deref()
            .and_then(|path| Path::new(path).file_name());
        let name = name.map_or("todo-operator".into(), |name| name.to_string_lossy());
        formatter.write_str(&name)
    }
}

/// `never`, `once`, `3 times`.
pub fn times(count: i32) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
