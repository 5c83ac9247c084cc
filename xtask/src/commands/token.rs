//! `token`

use std::env;

use anyhow::{Context, Result};
use stack::{running, token};

/// The clients' key, as Spin takes it.
const KEY: &str = "SPIN_VARIABLE_JWT_SECRET";

pub fn run(user: &str) -> Result<()> {
    // The token alone on standard output, for `$(cargo xtask token demo)`.
    if let Some(endpoints) = running::find()? {
        println!("{}", endpoints.token(user)?);
        eprintln!(
            "Valid for a day: curl -H \"Authorization: Bearer …\" {}/api/{user}/tasks",
            endpoints.api_url
        );
        return Ok(());
    }
    let key = env::var(KEY).with_context(|| {
        format!("the service is not running; start it with `cargo xtask up`, or give another one's key as {KEY}")
    })?;
    println!("{}", token::mint(&key, user)?);
    Ok(())
}
