//! The feed of a user's changes: which of them a client asks for, how a stream writes them, and how often it looks for more.

use std::time::Duration;

use crate::page;
use crate::query::Query;
use crate::violation::{Location, Violation};

/// The parameters of `GET /api/{user_id}/changes`.
pub const PARAMETERS: [&str; 2] = ["after", "limit"];

/// The header with which a client resumes a stream.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";

/// The media type of a stream.
pub const EVENT_STREAM: &str = "text/event-stream";

/// The value of `after` for a client that wants only what is new.
pub const LATEST: &str = "latest";

/// The largest number that every JSON parser reads exactly. Lanes begin at 1 and rise by a million with a restore.
pub const LARGEST_NUMBER: i64 = (1 << 53) - 1;

/// How many digits a number may have: as many as `sequence`, with zeros in front.
pub const MOST_DIGITS: usize = 20;

/// How long a client should wait after a stream has ended, in milliseconds.
const RETRY_MILLISECONDS: u32 = 1000;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// With the oldest change that is kept.
    Beginning,
    /// With the change after this number.
    Number(i64),
    /// With the next change to come.
    Latest,
}

impl After {
    fn parse(text: &str) -> Option<Self> {
        if text == LATEST {
            return Some(Self::Latest);
        }
        number(text).map(Self::Number)
    }
}

/// A number as `id` of a stream, `last` of a page and `sequence` of an event write it. A larger number than the largest
/// was never given, so it is read as the largest.
fn number(text: &str) -> Option<i64> {
    let is_number =
        (1..=MOST_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| {
        text.parse()
            .map_or(LARGEST_NUMBER, |number: i64| number.min(LARGEST_NUMBER))
    })
}

/// Which of a user's changes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangesQuery {
    /// Where to begin.
    pub after: After,
    /// How many are read at once: 1 to 200.
    pub limit: u16,
}

impl ChangesQuery {
    /// Reads the parameters and the header `Last-Event-ID`. The header takes precedence, because a client resumes a
    /// stream with the address that it began with.
    ///
    /// # Errors
    ///
    /// Every violation found, by its place.
    pub fn parse(query: &str, last_event_id: Option<&str>) -> Result<Self, Vec<Violation>> {
        let query = Query::parse(query, &PARAMETERS)?;
        let mut violations = Vec::new();
        let detail = format!("must be a number of at most {MOST_DIGITS} digits, or {LATEST}");
        let mut after = match query.get("after").map(After::parse) {
            None => After::Beginning,
            Some(Some(after)) => after,
            Some(None) => {
                violations.push(Violation::parameter("after", detail));
                After::Beginning
            }
        };
        let limit = page::limit(&query).unwrap_or_else(|violation| {
            violations.push(violation);
            page::DEFAULT_LIMIT
        });
        match last_event_id.map(number) {
            None => {}
            Some(Some(number)) => after = After::Number(number),
            Some(None) => violations.push(Violation {
                location: Location::Header(LAST_EVENT_ID),
                detail: "must be the id of an event of this stream".to_owned(),
            }),
        }
        if violations.is_empty() {
            Ok(Self { after, limit })
        } else {
            Err(violations)
        }
    }
}

/// Whether this `Accept` header asks for a stream: it names the media type itself, and does not refuse it with `q=0`.
pub fn accepts_stream(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_stream = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case(EVENT_STREAM));
        let is_refused = |part: &str| {
            let value = part
                .split_once('=')
                .filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
            value.is_some_and(|(_, value)| value.trim().parse() == Ok(0.0_f32))
        };
        is_stream && !parts.any(is_refused)
    })
}

/// The first block of a stream: how long to wait before connecting again, and the number to resume after if no event
/// comes.
pub fn opening(last: i64) -> String {
    format!("retry: {RETRY_MILLISECONDS}\nid: {last}\n\n")
}

/// An event of a stream; `json` has no line breaks.
pub fn frame(number: i64, json: &str) -> String {
    format!("id: {number}\ndata: {json}\n\n")
}

/// A comment, which a stream sends when there is no event.
pub const HEARTBEAT: &str = ":\n\n";

/// How often a stream looks for more events. It looks often after a change, then less and less often. The more streams
/// a host has, the less often each idle one looks, so that all of them together do not look more often than a fixed
/// rate.
#[derive(Debug, Clone)]
pub struct Pace {
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

impl Pace {
    /// After a change.
    const SHORTEST: Duration = Duration::from_millis(100);
    /// When nothing has happened for some time.
    const LONGEST: Duration = Duration::from_millis(1000);
    /// How much each stream of the host adds to the time between two looks, once there are many: all idle streams
    /// together look a hundred times a second.
    const OF_EACH: Duration = Duration::from_millis(10);

    /// The pace of a stream on a host with `streams` streams.
    pub fn of(streams: u32) -> Self {
        let longest = Self::LONGEST.max(Self::OF_EACH.saturating_mul(streams));
        let shortest = Self::SHORTEST.max(longest / 10);
        Self {
            shortest,
            longest,
            // Most streams are resumed while nothing happens.
            next: longest,
        }
    }

    /// How long to wait after a look that found nothing.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 3 / 2).min(self.longest);
        wait
    }

    /// The look found events.
    pub fn quicken(&mut self) {
        self.next = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str, header: Option<&str>) -> Result<ChangesQuery, usize> {
        ChangesQuery::parse(query, header).map_err(|violations| violations.len())
    }

    fn after(query: &str, header: Option<&str>) -> Result<After, usize> {
        parse(query, header).map(|query| query.after)
    }

    #[test]
    fn a_number_of_a_change_is_read_in_each_of_its_forms() {
        assert_eq!(after("", None), Ok(After::Beginning));
        assert_eq!(after("after=0", None), Ok(After::Number(0)));
        assert_eq!(after("after=42&limit=7", None), Ok(After::Number(42)));
        let of_an_event = "after=00000000000000000042";
        assert_eq!(after(of_an_event, None), Ok(After::Number(42)));
        assert_eq!(after("after=latest", None), Ok(After::Latest));
        let largest = format!("after={LARGEST_NUMBER}");
        assert_eq!(after(&largest, None), Ok(After::Number(LARGEST_NUMBER)));
        let larger = "after=99999999999999999999";
        assert_eq!(after(larger, None), Ok(After::Number(LARGEST_NUMBER)));
        assert_eq!(parse("limit=7", None).map(|query| query.limit), Ok(7));
    }

    #[test]
    fn last_event_id_takes_precedence_over_after() {
        assert_eq!(after("after=1", Some("2")), Ok(After::Number(2)));
        assert_eq!(after("after=latest", Some("2")), Ok(After::Number(2)));
    }

    #[test]
    fn each_bad_parameter_of_the_feed_is_named() {
        for bad in [
            "after=",
            "after=-1",
            "after=%2B1",
            "after=1.0",
            "after=x",
            "after=Latest",
            "after=000000000000000000001",
            "limit=0",
            "limit=201",
            "since=1",
        ] {
            assert_eq!(parse(bad, None), Err(1), "{bad}");
        }
        for bad in ["", "x", "latest", "-1"] {
            assert_eq!(parse("", Some(bad)), Err(1), "{bad}");
        }
        assert_eq!(parse("after=x&limit=x", Some("x")), Err(3));
    }

    #[test]
    fn a_stream_is_for_clients_that_accept_its_media_type() {
        for accept in [
            "text/event-stream",
            "Text/Event-Stream",
            "application/json, text/event-stream;q=0.5",
            "text/event-stream; charset=utf-8",
        ] {
            assert!(accepts_stream(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/*",
            "application/json",
            "text/event-stream;q=0",
            "text/event-stream; q=0.000",
            "text/event-streams",
        ] {
            assert!(!accepts_stream(accept), "{accept}");
        }
    }

    #[test]
    fn a_stream_is_valid_server_sent_events() {
        assert_eq!(opening(7), "retry: 1000\nid: 7\n\n");
        assert_eq!(frame(8, "{}"), "id: 8\ndata: {}\n\n");
    }

    #[test]
    fn many_streams_together_look_no_more_often_than_few() {
        for (streams, least) in [(1, 1000), (100, 1000), (400, 4000), (u32::MAX, 4000)] {
            let mut pace = Pace::of(streams);
            let resting = pace.wait();
            assert!(resting >= Duration::from_millis(least), "{resting:?}");
            pace.quicken();
            let first = pace.wait();
            assert!(first >= Duration::from_millis(100), "{streams}: {first:?}");
            for _ in 0..50 {
                pace.wait();
            }
            let longest = pace.wait();
            assert!(
                longest >= Duration::from_millis(least),
                "{streams}: {longest:?}"
            );
            pace.quicken();
            assert_eq!(pace.wait(), first);
        }
    }

    proptest! {
        #[test]
        fn no_request_panics(query in ".{0,40}", header in proptest::option::of(".{0,30}"), accept in ".{0,60}") {
            let _ = ChangesQuery::parse(&query, header.as_deref());
            accepts_stream(&accept);
        }

        #[test]
        fn every_number_of_a_page_is_accepted_as_after(number in 0..=LARGEST_NUMBER) {
            prop_assert_eq!(after(&format!("after={number}"), None), Ok(After::Number(number)));
            prop_assert_eq!(after("", Some(&number.to_string())), Ok(After::Number(number)));
        }
    }
}
