//! Free TCP ports on 127.0.0.1.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

/// Below the ports that systems give to outgoing connections, so that a service can be restarted on
/// its port: nothing takes it in between.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that nothing listens on and that this process has not been given before.
///
/// # Errors
/// When none is found.
pub fn free() -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut guard = GIVEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let given = guard.get_or_insert_default();
    for _ in 0..1000 {
        let random = getrandom::u32().context("no randomness from the system")?;
        let offset = u16::try_from(random % u32::from(RANGE.end - RANGE.start))?;
        let port = RANGE.start + offset;
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!(
        "no free port on 127.0.0.1 between {} and {}",
        RANGE.start,
        RANGE.end
    )
}
