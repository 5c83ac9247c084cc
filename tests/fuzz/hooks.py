"""What requests must keep to beyond what a JSON schema can say."""

import datetime
import uuid

import schemathesis

RULES = ["FREQ=DAILY", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH", "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", "FREQ=YEARLY"]


@schemathesis.hook
def filter_case(context, case):
    """Spin itself answers 500 to header fields that are not UTF-8; no component sees them. What is wrong with one operation of
    a batch is told in its result, so that is no invalid request."""
    if not case.meta.generation.mode.is_positive and has_operations(case):
        return False
    return all(str(value).isascii() for value in (case.headers or {}).values())


@schemathesis.hook
def before_call(context, case, kwargs):
    """Here, and not where requests are made: those that follow a link are made elsewhere."""
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        if has_operations(case):
            case.body["operations"] = []
        return
    query, headers, body = case.query or {}, case.headers or {}, case.body
    # A cursor comes from the service.
    query.pop("cursor", None)
    # So does a number.
    query.pop("after", None)
    headers.pop("Last-Event-ID", None)
    # The range must not be longer than a year, and it ends today unless told otherwise.
    if "from" in query:
        query["to"] = query["from"]
    # A key names one request.
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = uuid.uuid4().hex
    recurrence = body.get("recurrence") if isinstance(body, dict) else None
    if isinstance(recurrence, dict):
        recurrence["rule"] = RULES[len(str(recurrence.get("rule"))) % len(RULES)]
    # The moment must be still to come.
    if case.path.endswith("/snooze") and isinstance(body, dict):
        if "until" in body:
            soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
            body["until"] = soon.isoformat()
        else:
            body["for"] = "PT10M"
    # Whether a patch of one of these is valid depends on the task.
    if case.method == "PATCH" and isinstance(body, dict):
        if "recurrence" in body:
            body.pop("is_recurring", None)
            body.pop("recurring_interval", None)
        elif "is_recurring" in body or "recurring_interval" in body:
            body["is_recurring"] = body.get("recurring_interval") is not None
            body.setdefault("recurring_interval", None)
        if body.get("reminders"):
            body["due_date"] = "2030-01-31T09:00:00Z"


def has_operations(case):
    return case.path.endswith("/tasks/batch") and isinstance(case.body, dict) and bool(case.body.get("operations"))
