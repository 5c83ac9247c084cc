//! Why a statement gave no answer, as Spin and PostgreSQL put it.

use std::fmt;

use spin_sdk::pg4::{PgError, QueryError};

/// Why a statement gave no answer.
#[derive(Debug)]
pub enum DatabaseError {
    /// PostgreSQL cannot be reached, is starting or stopping, broke off, or cannot write for now: it is read-only, full or
    /// no longer the primary. What the statement did is unknown.
    Unavailable(String),
    /// PostgreSQL refused the statement and rolled it back.
    Refused {
        /// The SQLSTATE (PostgreSQL documentation, appendix A); empty if Spin does not pass it on.
        code: String,
        /// PostgreSQL's message, without its detail, which could quote data.
        message: String,
    },
    /// The answer is not of the expected form.
    UnexpectedAnswer(String),
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) => write!(formatter, "database unavailable: {reason}"),
            Self::Refused { code, message } => {
                write!(formatter, "statement refused ({code}): {message}")
            }
            Self::UnexpectedAnswer(reason) => write!(formatter, "unexpected answer: {reason}"),
        }
    }
}

impl std::error::Error for DatabaseError {}

impl DatabaseError {
    /// Whether the same statement may succeed some seconds later. A refusal of the values themselves (classes 22 and
    /// 23) stays. Any other refusal may be an outage of a kind that this code does not know.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused { code, .. } => !["22", "23"].iter().any(|class| code.starts_with(class)),
            Self::UnexpectedAnswer(_) => false,
        }
    }
}

pub(super) fn classify(error: PgError) -> DatabaseError {
    match error {
        PgError::QueryFailed(QueryError::DbError(error)) => {
            if is_outage(&error.code) {
                DatabaseError::Unavailable(error.message)
            } else {
                DatabaseError::Refused {
                    code: error.code,
                    message: error.message,
                }
            }
        }
        PgError::QueryFailed(QueryError::Text(reason)) => classify_text(&reason),
        // The driver's reasons for a failed connection may quote the address, which holds the password.
        PgError::ConnectionFailed(_) => DatabaseError::Unavailable("no connection".to_owned()),
        PgError::BadParameter(reason)
        | PgError::ValueConversionFailed(reason)
        | PgError::Other(reason) => DatabaseError::UnexpectedAnswer(reason),
    }
}

/// Whether a SQLSTATE says that PostgreSQL cannot work at the moment. Class 08: connection exceptions; 53: insufficient
/// resources, such as a full disk; 57: operator intervention (PostgreSQL is starting, stopping, or the session was
/// ended); 58: system errors. 25006: it is read-only, as a standby is; 55P03: a lock was not granted in time.
fn is_outage(code: &str) -> bool {
    ["08", "53", "57", "58", "25006", "55P03"]
        .iter()
        .any(|start| code.starts_with(start))
}

/// The same, from the message alone. Only English messages are recognised; see [`DatabaseError::may_pass`].
fn says_outage(message: &str) -> bool {
    let begins = [
        "canceling statement",
        "could not obtain lock",
        "could not extend file",
        "could not open file",
        "could not read block",
        "could not write",
        "could not fsync file",
        "could not access status of transaction",
        "out of memory",
        "out of shared memory",
        "the database system is",
    ];
    let contains = [
        "in a read-only transaction",
        "during recovery",
        "while recovery is in progress",
        "No space left on device",
        "Disk quota exceeded",
        "Input/output error",
        "Read-only file system",
    ];
    begins.iter().any(|text| message.starts_with(text))
        || contains.iter().any(|text| message.contains(text))
}

/// Spin reports an error of a running statement as text only: a chain of errors. If the first is `db error`, the next
/// is PostgreSQL's message. Otherwise the connection failed.
fn classify_text(reason: &str) -> DatabaseError {
    let mut lines = reason
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    if !first.starts_with("db error") {
        return DatabaseError::Unavailable(first.to_owned());
    }
    // Further lines are left out: a detail could quote data.
    let answer = first
        .strip_prefix("db error: ")
        .or_else(|| lines.find(|line| *line != "Caused by:"));
    let answer = answer.unwrap_or(first);
    let (severity, message) = answer.split_once(": ").unwrap_or(("", answer));
    let says = |text: &str| message.starts_with(text);
    if matches!(severity, "FATAL" | "PANIC") || says_outage(message) {
        return DatabaseError::Unavailable(message.to_owned());
    }
    let code = if says("deadlock detected") {
        "40P01"
    } else if says("could not serialize access") {
        "40001"
    } else if message.contains(" violates ") {
        "23000"
    } else {
        ""
    };
    DatabaseError::Refused {
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseError, classify_text, is_outage};

    /// As Spin 3.6 and 4.0 put it.
    fn answered(answer: &str) -> String {
        format!("db error\n\nCaused by:\n    {answer}\n\nStack backtrace:\n   0: <unknown>")
    }

    #[test]
    fn an_answer_of_postgres_is_not_mistaken_for_a_lost_connection() {
        for (answer, expected) in [
            ("ERROR: deadlock detected\n    DETAIL: Process 1 …", "40P01"),
            (
                "ERROR: could not serialize access due to concurrent update",
                "40001",
            ),
            ("ERROR: division by zero", ""),
            (
                "ERROR: duplicate key value violates unique constraint \"tasks_pkey\"",
                "23000",
            ),
        ] {
            match classify_text(&answered(answer)) {
                DatabaseError::Refused { code, message } => {
                    assert_eq!(code, expected, "{answer}");
                    assert!(answer[7..].starts_with(&message) && !message.contains('\n'));
                }
                other => panic!("{answer}: {other}"),
            }
        }
        for reason in [
            answered("FATAL: terminating connection due to administrator command"),
            answered("ERROR: canceling statement due to user request"),
            answered("ERROR: canceling statement due to lock timeout"),
            answered("ERROR: cannot execute INSERT in a read-only transaction"),
            answered("ERROR: cannot execute nextval() in a read-only transaction"),
            answered("ERROR: cannot assign TransactionIds during recovery"),
            answered(
                "ERROR: could not extend file \"base/5/16397\": No space left on device\n    HINT: Check free disk space.",
            ),
            answered("ERROR: could not fsync file \"base/5/16397\": Input/output error"),
            answered("ERROR: out of shared memory"),
            "connection closed\n\nStack backtrace:\n   0: <unknown>".to_owned(),
            "error communicating with the server\n\nCaused by:\n    Broken pipe (os error 32)"
                .to_owned(),
            String::new(),
        ] {
            match classify_text(&reason) {
                DatabaseError::Unavailable(told) => assert!(!told.contains("backtrace"), "{told}"),
                other => panic!("{reason}: {other}"),
            }
        }
    }

    #[test]
    fn a_database_that_cannot_write_is_an_outage() {
        for code in [
            "25006", "55P03", "58030", "53100", "53200", "57P03", "08006",
        ] {
            assert!(is_outage(code), "{code}");
        }
        for code in ["", "22012", "23505", "25001", "40P01", "42883", "55000"] {
            assert!(!is_outage(code), "{code}");
        }
    }

    #[test]
    fn database_errors_that_may_pass_are_retried() {
        let refused = |code: &str| DatabaseError::Refused {
            code: code.to_owned(),
            message: String::new(),
        };
        // An unknown function may come with a migration; an unknown refusal may be an outage.
        for error in [
            refused(""),
            refused("42883"),
            refused("40P01"),
            DatabaseError::Unavailable(String::new()),
        ] {
            assert!(error.may_pass(), "{error}");
        }
        for error in [
            refused("23000"),
            refused("22P02"),
            DatabaseError::UnexpectedAnswer(String::new()),
        ] {
            assert!(!error.may_pass(), "{error}");
        }
    }

    #[test]
    fn details_of_database_errors_are_left_out() {
        let error = classify_text(&answered(
            "ERROR: duplicate key\n    DETAIL: Key (title)=(private) exists.",
        ));
        assert!(!error.to_string().contains("private"), "{error}");
    }
}
