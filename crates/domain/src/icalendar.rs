//! Tasks as a calendar (RFC 5545), for programs that subscribe to one.
//!
//! A task becomes an event without a length at its due date, because calendar programs show only the events of a
//! subscribed address, not its to-dos (`VTODO`). The text depends on the tasks alone, so it changes only when they do.

use serde::Deserialize;

use crate::task::Priority;
use crate::timestamp::Timestamp;

/// The version of this module's text. Raise it whenever the text for the same task changes: it is a part of the entity
/// tag.
pub const FORM: u32 = 1;

/// How many octets a line may have, without its end.
const LONGEST_LINE: usize = 75;

/// What a calendar shows of a task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// The task's id, and the event's.
    pub id: String,
    /// What is to be done.
    pub title: String,
    /// More about it.
    pub description: Option<String>,
    /// Whether it is done.
    pub completed: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// Labels.
    pub tags: Vec<String>,
    /// When it is due.
    pub due_date: Timestamp,
    /// One more with every change.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// The calendar of these tasks.
pub fn calendar(entries: &[Entry]) -> String {
    let mut calendar = Lines(String::new());
    calendar.line("BEGIN:VCALENDAR");
    calendar.line("VERSION:2.0");
    calendar.line("PRODID:-//todo-events//calendar//EN");
    calendar.line("CALSCALE:GREGORIAN");
    // The name, and how often to ask again: as in RFC 7986, and as older programs read them.
    calendar.line("NAME:Tasks");
    calendar.line("X-WR-CALNAME:Tasks");
    calendar.line("REFRESH-INTERVAL;VALUE=DURATION:PT1H");
    calendar.line("X-PUBLISHED-TTL:PT1H");
    for entry in entries {
        calendar.event(entry);
    }
    calendar.line("END:VCALENDAR");
    calendar.0
}

/// Lines, each with its end.
struct Lines(String);

impl Lines {
    fn event(&mut self, entry: &Entry) {
        let changed = date_time(entry.updated_at);
        self.line("BEGIN:VEVENT");
        self.line(&format!("UID:{}", entry.id));
        // Without METHOD, when the event was changed last (section 3.8.7.2).
        self.line(&format!("DTSTAMP:{changed}"));
        self.line(&format!("LAST-MODIFIED:{changed}"));
        self.line(&format!("CREATED:{}", date_time(entry.created_at)));
        self.line(&format!("SEQUENCE:{}", entry.version - 1));
        self.line(&format!("DTSTART:{}", date_time(entry.due_date)));
        // No calendar program has a sign for an event that is done.
        let done = if entry.completed { "✓ " } else { "" };
        self.line(&format!("SUMMARY:{done}{}", escaped(&entry.title)));
        if let Some(description) = entry.description.as_deref().filter(|text| !text.is_empty()) {
            self.line(&format!("DESCRIPTION:{}", escaped(description)));
        }
        if !entry.tags.is_empty() {
            let tags: Vec<String> = entry.tags.iter().map(|tag| escaped(tag)).collect();
            self.line(&format!("CATEGORIES:{}", tags.join(",")));
        }
        let priority = match entry.priority {
            Priority::High => 1,
            Priority::Medium => 5,
            Priority::Low => 9,
        };
        self.line(&format!("PRIORITY:{priority}"));
        // A task does not block any time.
        self.line("TRANSP:TRANSPARENT");
        self.line("STATUS:CONFIRMED");
        self.line("END:VEVENT");
    }

    /// Adds a line, folded between characters where it is too long (section 3.1).
    fn line(&mut self, line: &str) {
        let mut octets = 0;
        for character in line.chars() {
            if octets + character.len_utf8() > LONGEST_LINE {
                self.0.push_str("\r\n ");
                octets = 1;
            }
            self.0.push(character);
            octets += character.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

/// Text as a value (section 3.3.11). Control characters, which no value may have, are left out, but for the ends of lines and
/// tabs.
fn escaped(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' | ';' | ',' => value.extend(['\\', character]),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\n' => value.push_str("\\n"),
            '\t' => value.push(character),
            _ if character.is_ascii_control() => {}
            _ => value.push(character),
        }
    }
    value
}

/// An instant in UTC, to the second.
fn date_time(instant: Timestamp) -> String {
    let text = instant.to_string();
    let digits = text.chars().take(19);
    let date_time: String = digits
        .filter(|character| !"-:".contains(*character))
        .collect();
    date_time + "Z"
}

#[cfg(test)]
mod tests;
