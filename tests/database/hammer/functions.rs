//! The functions that publish, changed for a test: with pauses at dangerous points, with shorter times, or with a
//! watch.

use stack::workspace;

use crate::scratch_database::read;

/// Puts `new` in the place of `old`, which must be there once.
pub fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old}");
    text.replace(old, new)
}

pub fn functions() -> String {
    read(&workspace::root().join("migrations/functions/publishing.sql"))
}

/// A pause of a random length, sometimes.
pub fn nap(milliseconds: f64) -> String {
    let seconds = milliseconds / 1000.0;
    format!("PERFORM pg_sleep(CASE WHEN random() < 0.3 THEN random() * {seconds} ELSE 0 END);")
}

/// Adds a pause between every two steps whose order matters.
pub fn with_naps(mut text: String) -> String {
    for (before, milliseconds) in [
        ("    is_publisher := token", 2.0),
        ("    is_next := lane.head", 3.0),
        ("    UPDATE publishers SET token = new_token", 2.0),
        ("        -- Without the lock somebody", 3.0),
        ("        now := clock_timestamp();\n        IF EXISTS", 2.0),
    ] {
        text = replaced(&text, before, &format!("{}\n{before}", nap(milliseconds)));
    }
    let letting_go = "    END IF;\n    UPDATE publishers SET token = NULL";
    let nap = format!("{}\n{letting_go}", nap(3.0));
    replaced(&text, letting_go, &nap)
}

/// Makes all leases and rests about ten times shorter.
pub fn hurried(text: &str) -> String {
    let mut text = text.to_owned();
    for (old, new) in [
        ("interval '10 seconds'", "interval '1 second'"),
        ("interval '5 minutes'", "interval '0.3 seconds'"),
        (
            "least(60, 2 ^ least(attempts, 6)) *",
            "least(0.5, 0.02 * 2 ^ least(attempts, 6)) *",
        ),
        (
            "least(30, 2 ^ least(failures, 5)) *",
            "least(0.5, 0.05 * 2 ^ least(failures, 5)) *",
        ),
    ] {
        text = replaced(&text, old, new);
    }
    text.replace("interval '5 seconds'", "interval '0.7 seconds'")
}

/// When an instance takes over a free publisher's place, it also looks for a forgotten lane: one that waits and that
/// nobody holds, because its writer relied on a publisher that had let go. It looks in the same snapshot in which it
/// locked the free place, so no later write hides the lane. A lane that the same statement queued is not forgotten: a
/// batch queues its lane before it looks.
pub fn with_look(text: &str) -> String {
    let taking = "    UPDATE publishers SET token = new_token";
    let end = "    RETURN FOUND;\nEND $$;";
    let Some((before, rest)) = text.split_once(taking) else {
        panic!("nobody takes over");
    };
    let Some((_, after)) = rest.split_once(end) else {
        panic!("no end");
    };
    format!(
        "CREATE SEQUENCE takeovers; CREATE SEQUENCE forgotten;
        {before}
    DECLARE
        is_forgotten boolean;
    BEGIN
        SELECT token IS NULL AND EXISTS (
            SELECT FROM publish_queue AS turn
            WHERE turn.turn_at <= clock_timestamp() AND coalesce(turn.held_until <= clock_timestamp(), true)
                AND turn.xmin <> pg_current_xact_id()::xid
        ) INTO is_forgotten
        FROM publishers
        WHERE sidecar = sidecar_name AND coalesce(publishers.held_until <= now OR relief_at <= now, true)
        FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        UPDATE publishers
        SET token = new_token, held_until = now + publisher_lease(), relief_at = now + publisher_stint()
        WHERE sidecar = sidecar_name;
        PERFORM nextval('takeovers');
        IF is_forgotten THEN
            PERFORM nextval('forgotten');
        END IF;
        RETURN true;
    END;
END $$;{after}"
    )
}
