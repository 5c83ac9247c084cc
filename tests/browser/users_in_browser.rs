//! What a user does on the page, from a click to Kafka and back.

use std::fs;

use e2e::test_user::TestUser;
use serde_json::{Value, json};

use crate::story::{documents_pictures, tell, tell_with};

/// A picture in the documents must not slow down who reads them.
const LARGEST_PICTURE: u64 = 200_000;

#[test]
fn the_next_instance_of_a_completed_task_appears_by_itself_on_two_devices() {
    tell("recurring", &TestUser::random());
}

#[test]
fn a_day_on_a_desk_and_on_a_phone() {
    tell("day", &TestUser::random());
}

#[test]
fn everything_by_keyboard() {
    tell("keyboard", &TestUser::random());
}

#[test]
fn a_reminder_is_counted_read_and_put_off() {
    tell("notifications", &TestUser::random());
}

#[test]
fn what_the_server_refuses_is_taken_back_and_said() {
    tell("refused", &TestUser::random());
}

#[test]
fn without_a_network_the_page_shows_its_copy_and_catches_up() {
    tell("offline", &TestUser::random());
}

#[test]
fn every_view_is_accessible_at_two_sizes_in_light_and_dark() {
    tell("accessible", &TestUser::random());
}

#[test]
fn a_first_visit_is_small_and_words_are_read() {
    tell("first-visit", &TestUser::random());
}

/// Into the database: as many events would keep the broker busy for minutes.
const MANY: &str = "
    INSERT INTO tasks (
        id, user_id, title, priority, tags, due_date, timezone, is_recurring, series_id, occurrence, anchor_day,
        created_at, updated_at
    )
    SELECT
        gen_random_uuid(), $1, 'number ' || n, (ARRAY['low', 'medium', 'high'])[1 + n % 3]::priority, '{many}', due, 'UTC',
        false, gen_random_uuid(), 1, extract(day FROM due), now() - n * interval '1 second', now()
    FROM
        generate_series(1, $2::bigint) AS n,
        LATERAL (SELECT CASE WHEN n % 5 > 0 THEN now() + n * interval '1 hour' END AS due) AS date";

#[test]
fn ten_thousand_tasks_are_scrolled() {
    let todo = TestUser::random();
    tell_with("many", &todo, |what, of: &Value| {
        assert_eq!(what, "many");
        let count = of.as_i64().unwrap_or_default();
        let mut database = todo.database();
        let inserted = database.client().execute(MANY, &[&todo.user(), &count]);
        match inserted {
            Ok(count) => json!(count),
            Err(error) => panic!("{error:?}"),
        }
    });
}

#[test]
fn pictures_of_documents_are_small() {
    let folder = match fs::read_dir(documents_pictures()) {
        Ok(folder) => folder,
        Err(error) => panic!("docs/pictures: {error}"),
    };
    for entry in folder.flatten() {
        let size = entry.metadata().map_or(u64::MAX, |metadata| metadata.len());
        assert!(size < LARGEST_PICTURE, "{:?}: {size} bytes", entry.path());
    }
}
