//! The description of each operation.

mod answers;

use domain::{change_feed, date_range, notification_list, task_list};
use serde_json::{Value, json};

use self::answers::{
    calendar_answer, changes, created, json_answer, notifications, page_of, schema, task,
};
use super::Described;
use super::parameters::{
    change_feed_parameter, date_range_parameter, idempotency_key, if_match, if_none_match,
    last_event_id, notification_list_parameter, task_list_parameter,
};
use super::schemas::reference;
use crate::calendar::MEDIA_TYPE;
use crate::route::{ServiceOperation, UserOperation};

fn described(summary: &'static str, success: (u16, Value)) -> Described {
    Described {
        summary,
        details: None,
        parameters: Vec::new(),
        body: None,
        success,
        unchanged: None,
        problems: &[],
    }
}

/// Describes an operation of a user.
pub(super) fn of_user(operation: UserOperation) -> Described {
    match operation {
        UserOperation::ListTasks => Described {
            parameters: task_list::PARAMETERS.map(task_list_parameter).to_vec(),
            problems: &["Invalid"],
            ..described(
                "List tasks",
                (200, page_of("A page of tasks.", "Task", &[])),
            )
        },
        UserOperation::CreateTask => Described {
            details: Some(
                "With an `Idempotency-Key` it may be repeated without creating the task twice.",
            ),
            parameters: vec![idempotency_key()],
            body: Some(json!({
                "required": true,
                "content": {"application/json": {"schema": reference("NewTask")}},
            })),
            problems: &["TooManyTasks", "InvalidOrReused"],
            ..described("Create a task", (201, created()))
        },
        UserOperation::ChangeTasks => Described {
            details: Some(
                "Each operation has its own outcome, as if it were sent alone, and they are run in order; one that is \
                 refused changes nothing and stops no other. Where the service fails, none of them has happened. A create \
                 may be repeated with its `idempotency_key`; the key is the same as in the header `Idempotency-Key` of a \
                 create, which this route refuses. All others may be repeated as they are; with `version`, none \
                 takes effect twice.",
            ),
            body: Some(json!({
                "required": true,
                "content": {"application/json": {"schema": reference("Batch")}},
            })),
            problems: &["Invalid"],
            ..described(
                "Create and change many tasks",
                (
                    200,
                    json_answer(
                        "What became of each operation.",
                        &reference("BatchResults"),
                        &[],
                    ),
                ),
            )
        },
        UserOperation::ReadTask => described("Read a task", (200, task("The task."))),
        UserOperation::UpdateTask => Described {
            details: Some(
                "A merge patch (RFC 7396): a field left out stays, null clears it, to its default where it has one. A \
                 change of nothing makes no version and no event.",
            ),
            parameters: vec![if_match()],
            body: Some(json!({
                "required": true,
                "content": {
                    "application/merge-patch+json": {"schema": reference("TaskPatch")},
                    "application/json": {"schema": reference("TaskPatch")},
                },
            })),
            problems: &["PreconditionFailed", "Invalid"],
            ..described("Change a task", (200, task("The task, changed.")))
        },
        UserOperation::DeleteTask => Described {
            parameters: vec![if_match()],
            problems: &["PreconditionFailed"],
            ..described(
                "Delete a task",
                (204, json!({"description": "The task is deleted."})),
            )
        },
        UserOperation::CompleteTask => Described {
            details: Some(
                "Completing a completed task changes nothing. The next instance of a recurring task appears a moment later.",
            ),
            parameters: vec![if_match()],
            problems: &["PreconditionFailed"],
            ..described("Complete a task", (200, task("The task, completed.")))
        },
        UserOperation::ReopenTask => Described {
            details: Some(
                "Reopening a pending task changes nothing. The next instance of a recurring task stays.",
            ),
            parameters: vec![if_match()],
            problems: &["PreconditionFailed"],
            ..described("Reopen a task", (200, task("The task, pending.")))
        },
        UserOperation::SkipTask => Described {
            details: Some(
                "Ends this instance of a recurring task without completing it; the next one appears a moment later, unless \
                 the series ends. Skipping a skipped task changes nothing.",
            ),
            parameters: vec![if_match()],
            problems: &["CannotSkip", "PreconditionFailed"],
            ..described(
                "Skip to the next instance",
                (200, task("The task, skipped.")),
            )
        },
        UserOperation::ListNotifications => Described {
            parameters: notification_list::PARAMETERS
                .map(notification_list_parameter)
                .to_vec(),
            problems: &["Invalid"],
            ..described("List notifications, newest first", (200, notifications()))
        },
        UserOperation::ReadNotification => described(
            "Mark a notification as read",
            (
                200,
                json_answer("The notification.", &reference("Notification"), &[]),
            ),
        ),
        UserOperation::SnoozeNotification => Described {
            details: Some(
                "The notification counts as read, and the task is reminded of again then, with a new notification, unless it \
                 ends or its due date changes before. Until then the same notification can be put off to another moment.",
            ),
            body: Some(json!({
                "required": true,
                "content": {"application/json": {"schema": reference("Snooze")}},
            })),
            problems: &["CannotSnooze", "Invalid"],
            ..described(
                "Put a notification off",
                (
                    200,
                    json_answer("The notification.", &reference("Notification"), &[]),
                ),
            )
        },
        UserOperation::ReadNotifications => described(
            "Mark all notifications as read",
            (
                200,
                json_answer("How many were marked.", &reference("Marked"), &[]),
            ),
        ),
        UserOperation::ReadAnalytics => Described {
            parameters: date_range::PARAMETERS.map(date_range_parameter).to_vec(),
            problems: &["Invalid"],
            ..described(
                "Count events by type and UTC day",
                (
                    200,
                    json_answer("The counts.", &reference("Analytics"), &[]),
                ),
            )
        },
        UserOperation::CreateCalendar => Described {
            details: Some(
                "A path that calendar programs subscribe to; whoever knows it reads the calendar. It is shown this once, and \
                 the one before ends.",
            ),
            ..described(
                "Make the address of the calendar",
                (
                    201,
                    json_answer("The address.", &reference("CalendarAddress"), &[]),
                ),
            )
        },
        UserOperation::RevokeCalendar => described(
            "End the address of the calendar",
            (204, json!({"description": "The address has ended."})),
        ),
        UserOperation::ReadChanges => Described {
            details: Some(
                "The user's events in the order of their numbers, none left out. In pages; with `Accept: text/event-stream` as \
                 server-sent events while they come: `id` is the number and `data` the event. A stream ends after half a \
                 minute; the client goes on with the last number in `Last-Event-ID`. To start: take the newest number with \
                 `after=latest`, read all tasks, then follow from that number, and leave out what a task's `version` says is \
                 known.",
            ),
            parameters: change_feed::PARAMETERS
                .map(change_feed_parameter)
                .into_iter()
                .chain([last_event_id()])
                .collect(),
            problems: &[
                "ChangesGone",
                "Invalid",
                "TooManyStreams",
                "UnavailableOrNoStreamFree",
            ],
            ..described("Follow changes", (200, changes()))
        },
    }
}

/// Describes an operation that needs no user; `None` for those that only the sidecar and Kubernetes use.
pub(super) fn of_service(operation: ServiceOperation) -> Option<Described> {
    Some(match operation {
        ServiceOperation::ReadCalendar => Described {
            details: Some(
                "iCalendar (RFC 5545). Each task that is due from 30 days ago on, the soonest 500, done or not, is an event \
                 without a length at its due date.",
            ),
            parameters: vec![if_none_match()],
            unchanged: Some((304, calendar_answer("As the client knows it.", None))),
            problems: &["Unavailable"],
            ..described(
                "The calendar, for calendar programs",
                (200, calendar_answer("The calendar.", Some(MEDIA_TYPE))),
            )
        },
        ServiceOperation::Description => described(
            "The description of the REST API (OpenAPI)",
            (
                200,
                json_answer("The OpenAPI document.", &json!({"type": "object"}), &[]),
            ),
        ),
        ServiceOperation::EventsDescription => described(
            "The description of the events (AsyncAPI)",
            (
                200,
                json_answer("The AsyncAPI document.", &json!({"type": "object"}), &[]),
            ),
        ),
        ServiceOperation::DataSchema => {
            described("The JSON Schema of an event's data", (200, schema()))
        }
        ServiceOperation::Liveness => described(
            "The service runs",
            (
                200,
                json_answer("The service runs.", &reference("Status"), &[]),
            ),
        ),
        ServiceOperation::Readiness => Described {
            problems: &["Unavailable"],
            ..described(
                "The database answers",
                (
                    200,
                    json_answer("The database answers.", &reference("Status"), &[]),
                ),
            )
        },
        ServiceOperation::Subscriptions | ServiceOperation::DeliveryReadiness => return None,
    })
}
