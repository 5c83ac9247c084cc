//! Files of this component that are generated from the code.

use std::path::Path;
use std::{env, fs};

use serde_json::Value;
use similar::TextDiff;

/// Requires that a committed file is what the code generates. `INSTA_UPDATE=always`, which rewrites snapshots, rewrites
/// it too.
pub(crate) fn require_committed(file: &str, current: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let current = format!("{current:#}\n");
    if env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
        fs::write(path, current).unwrap();
    } else if committed != current {
        let difference = TextDiff::from_lines(&committed, &current);
        panic!(
            "{file} is not what the code says; `INSTA_UPDATE=always cargo test -p task-api` rewrites it:\n{}",
            difference.unified_diff()
        );
    }
}
