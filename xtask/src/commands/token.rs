//! `token`

use anyhow::{Context, Result};
use xtask::running;

pub fn run(user: &str) -> Result<()> {
    let endpoints =
        running::find()?.context("the service is not running; start it with `cargo xtask up`")?;
    // The token alone on standard output, for `$(cargo xtask token demo)`.
    println!("{}", endpoints.token(user)?);
    eprintln!(
        "Valid for a day: curl -H \"Authorization: Bearer …\" {}/api/{user}/tasks",
        endpoints.api_url
    );
    Ok(())
}
