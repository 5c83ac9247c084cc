//! Calendars, as another implementation reads them.

use icalendar::{Calendar, CalendarComponent, CalendarDateTime, Component, DatePerhapsTime, Event};
use proptest::prelude::*;

use super::*;

fn entry() -> Entry {
    Entry {
        id: "018f0000-0000-7000-8000-000000000000".to_owned(),
        title: "Water plants".to_owned(),
        description: None,
        completed: false,
        priority: Priority::Medium,
        tags: Vec::new(),
        due_date: Timestamp::parse("2030-01-31T09:00:00.123456+01:00").unwrap(),
        version: 3,
        created_at: Timestamp::parse("2029-12-01T00:00:00Z").unwrap(),
        updated_at: Timestamp::parse("2029-12-02T10:11:12.999999Z").unwrap(),
    }
}

#[test]
fn a_calendar_has_the_properties_that_programs_need() {
    let done = Entry {
        title: "Pay; rent, \\now\\".to_owned(),
        description: Some("Line one\r\nline two".to_owned()),
        completed: true,
        priority: Priority::High,
        tags: vec!["home".to_owned(), "a;b".to_owned()],
        ..entry()
    };
    let expected = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//todo-events//calendar//EN",
        "CALSCALE:GREGORIAN",
        "NAME:Tasks",
        "X-WR-CALNAME:Tasks",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
        "BEGIN:VEVENT",
        "UID:018f0000-0000-7000-8000-000000000000",
        "DTSTAMP:20291202T101112Z",
        "LAST-MODIFIED:20291202T101112Z",
        "CREATED:20291201T000000Z",
        "SEQUENCE:2",
        "DTSTART:20300131T080000Z",
        "SUMMARY:✓ Pay\\; rent\\, \\\\now\\\\",
        "DESCRIPTION:Line one\\nline two",
        "CATEGORIES:home,a\\;b",
        "PRIORITY:1",
        "TRANSP:TRANSPARENT",
        "STATUS:CONFIRMED",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ];
    assert_eq!(calendar(&[done]), expected.join("\r\n"));
}

#[test]
fn a_calendar_without_tasks_is_valid() {
    assert!(read(&calendar(&[])).is_empty());
}

/// The events that another implementation finds.
fn read(calendar: &str) -> Vec<Event> {
    let read: Calendar = calendar.parse().unwrap();
    read.components
        .into_iter()
        .map(|component| match component {
            CalendarComponent::Event(event) => event,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A text as a calendar can hold it.
fn plain(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars()
        .filter(|character| !character.is_ascii_control() || "\n\t".contains(*character))
        .collect()
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\\\;,:\"\r\n\t nN=é漢🌱]{0,200}",
        ".{0,300}",
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let seconds = 0i64..253_370_764_800;
    (
        (
            any_text(),
            prop::option::of(any_text()),
            prop::collection::vec(any_text(), 0..4),
        ),
        any::<bool>(),
        prop::sample::select(Priority::ALL.to_vec()),
        (seconds.clone(), seconds.clone(), seconds, 1i64..i64::MAX),
        any::<u128>(),
    )
        .prop_map(
            |(
                (title, description, tags),
                completed,
                priority,
                (due, created, updated, version),
                id,
            )| {
                let instant =
                    |seconds: i64| Timestamp::from_unix_micros(seconds * 1_000_000).unwrap();
                Entry {
                    id: uuid::Uuid::from_u128(id).to_string(),
                    title,
                    description,
                    completed,
                    priority,
                    tags,
                    due_date: instant(due),
                    version,
                    created_at: instant(created),
                    updated_at: instant(updated),
                }
            },
        )
}

proptest! {
    #[test]
    fn calendar_lines_are_short_and_keep_characters_whole(entries in prop::collection::vec(any_entry(), 0..3)) {
        let calendar = calendar(&entries);
        prop_assert!(calendar.ends_with("\r\n"));
        for line in calendar.trim_end_matches("\r\n").split("\r\n") {
            prop_assert!(line.len() <= LONGEST_LINE, "{}", line);
            prop_assert!(!line.trim_start_matches(' ').is_empty() || line.len() > 1, "{:?}", line);
            prop_assert!(line.chars().all(|c| !c.is_ascii_control() || c == '\t'), "{:?}", line);
        }
    }

    #[test]
    fn another_implementation_reads_the_calendar_as_it_was_written(entries in prop::collection::vec(any_entry(), 0..3)) {
        let events = read(&calendar(&entries));
        prop_assert_eq!(events.len(), entries.len());
        for (event, entry) in events.iter().zip(&entries) {
            prop_assert_eq!(event.get_uid(), Some(entry.id.as_str()));
            let done = if entry.completed { "✓ " } else { "" };
            prop_assert_eq!(event.get_summary().unwrap_or_default(), done.to_owned() + &plain(&entry.title));
            let description = entry.description.as_deref().map(plain).unwrap_or_default();
            prop_assert_eq!(event.get_description().unwrap_or_default(), description);
            let Some(DatePerhapsTime::DateTime(CalendarDateTime::Utc(start))) = event.get_start() else {
                panic!("no start: {event:?}");
            };
            prop_assert_eq!(start.timestamp() * 1_000_000, entry.due_date.unix_micros());
            prop_assert_eq!(event.get_sequence().map(i64::from), u32::try_from(entry.version - 1).ok().map(i64::from));
        }
    }

    #[test]
    fn folding_a_line_and_unfolding_it_changes_nothing(text in any_text()) {
        let mut lines = Lines(String::new());
        let line = format!("SUMMARY:{}", escaped(&text));
        lines.line(&line);
        prop_assert_eq!(lines.0.replace("\r\n ", ""), line + "\r\n");
    }
}
