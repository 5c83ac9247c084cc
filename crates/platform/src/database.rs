//! PostgreSQL through Spin's outbound driver.
//!
//! Spin offers no transactions, so a statement is one. Each statement opens a connection, runs and gives it back:
//! never are two open at once (the pool has no wait limit, so that could deadlock it), and none is held while the
//! sidecar is called. Every statement returns exactly one row with one column, JSON as text: Spin 4.0 waits for ever
//! on a query without rows.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use spin_sdk::pg4::{Connection, DbValue, ParameterValue, PgError, QueryError};

use crate::call::Call;
use crate::configuration::{self, ConfigurationError};

/// How often a statement that lost to another one (deadlock, serialization failure) is tried in all.
const ATTEMPTS: u32 = 5;

/// How long a handler keeps trying to reach PostgreSQL; within the sidecar's time-out for a delivery.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// What is added to an address. Spin hands it to tokio-postgres, which counts in seconds, `tcp_user_timeout` too: a peer
/// that vanished without a word is given up after some of them, not after minutes or hours.
const TIME_LIMITS: &str = "connect_timeout=3&tcp_user_timeout=10&keepalives_idle=15&keepalives_interval=5&keepalives_retries=3";

/// Where the database is. Holds no connection.
pub struct Database {
    address: String,
}

/// Why a statement gave no answer.
#[derive(Debug)]
pub enum DatabaseError {
    /// PostgreSQL cannot be reached, is starting or stopping, broke off, or cannot write for now: it is read-only, full or
    /// no longer the primary. What the statement did is unknown.
    Unavailable(String),
    /// PostgreSQL refused the statement and rolled it back.
    Refused {
        /// The SQLSTATE (PostgreSQL documentation, appendix A); empty where Spin does not tell.
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
    /// Whether the same statement may succeed some seconds later. A refusal does not pass where the values themselves
    /// are at fault (classes 22 and 23); any other may be an outage that this does not know.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused { code, .. } => !["22", "23"].iter().any(|class| code.starts_with(class)),
            Self::UnexpectedAnswer(_) => false,
        }
    }
}

impl Database {
    /// The database of the variable `database_url`, over connections of the component's own, which are named after the
    /// variable `application_name`.
    ///
    /// # Errors
    ///
    /// When a variable is not set.
    pub fn from_configuration() -> Result<Self, ConfigurationError> {
        Self::named(&configuration::variable("application_name")?)
    }

    /// The same over connections for health checks alone, which must not wait behind those of clients.
    ///
    /// # Errors
    ///
    /// When a variable is not set.
    pub fn for_probes() -> Result<Self, ConfigurationError> {
        let name = configuration::variable("application_name")?;
        Self::named(&format!("{name}-probe"))
    }

    fn named(name: &str) -> Result<Self, ConfigurationError> {
        let url = configuration::variable("database_url")?;
        Ok(Self {
            address: address(&url, name),
        })
    }

    /// Runs a statement and reads the JSON in its only row's only column.
    ///
    /// A statement that lost to another one is tried again at once, a few times; it had no effect.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached or refuses the statement, or the answer is not a `T`.
    pub fn query<T: DeserializeOwned>(
        &self,
        statement: &str,
        parameters: &[ParameterValue],
    ) -> Result<T, DatabaseError> {
        let mut attempt = 1;
        loop {
            match self.query_once(statement, parameters) {
                Err(DatabaseError::Refused { code, .. })
                    if matches!(code.as_str(), "40P01" | "40001") && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Like [`Database::query`], but keeps trying for up to [`PATIENCE`] while PostgreSQL cannot be reached, and after a
    /// refusal that may pass: a handler that takes an outage for a refusal makes a dead letter. Only for statements that
    /// do no harm when an attempt whose answer was lost had its effect.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    pub fn query_patiently<T: DeserializeOwned>(
        &self,
        statement: &str,
        parameters: &[ParameterValue],
    ) -> Result<T, DatabaseError> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            match self.query(statement, parameters) {
                Err(error) if error.may_pass() && start.elapsed() + pause < PATIENCE => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                answer => return answer,
            }
        }
    }

    /// Calls a function of the database, as [`Database::query`] runs a statement.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    pub fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, DatabaseError> {
        let (statement, parameters) = call.statement();
        self.query(&statement, &parameters)
    }

    /// Calls a function of the database, as [`Database::query_patiently`] runs a statement.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    pub fn call_patiently<T: DeserializeOwned>(&self, call: Call) -> Result<T, DatabaseError> {
        let (statement, parameters) = call.statement();
        self.query_patiently(&statement, &parameters)
    }

    fn query_once<T: DeserializeOwned>(
        &self,
        statement: &str,
        parameters: &[ParameterValue],
    ) -> Result<T, DatabaseError> {
        let connection = Connection::open(&self.address).map_err(classify)?;
        let rows = connection
            .query(statement, parameters)
            .map_err(classify)?
            .rows;
        drop(connection);
        match rows.first().map(Vec::as_slice) {
            Some([DbValue::Str(json)]) => serde_json::from_str(json).map_err(|error| {
                DatabaseError::UnexpectedAnswer(format!("{:?} error", error.classify()))
            }),
            Some([_]) => Err(DatabaseError::UnexpectedAnswer(
                "the column is not text".to_owned(),
            )),
            Some(_) => Err(DatabaseError::UnexpectedAnswer("not one column".to_owned())),
            None => Err(DatabaseError::UnexpectedAnswer("no row".to_owned())),
        }
    }
}

/// An address with a name and time limits. Spin keeps a pool of connections for each address string, so another name is
/// another pool. What the operator's address sets comes last and wins.
fn address(url: &str, name: &str) -> String {
    let (server, parameters) = url.split_once('?').unwrap_or((url, ""));
    let address = format!("{server}?application_name={name}&{TIME_LIMITS}");
    if parameters.is_empty() {
        address
    } else {
        format!("{address}&{parameters}")
    }
}

fn classify(error: PgError) -> DatabaseError {
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

/// Whether a SQLSTATE tells that PostgreSQL cannot do its work for now. Class 08: connection exceptions; 53: insufficient
/// resources, such as a full disk; 57: operator intervention (PostgreSQL is starting, stopping, or the session was
/// ended); 58: errors of its system. 25006: it is read-only, as a standby is; 55P03: a lock was not had in time.
fn is_outage(code: &str) -> bool {
    ["08", "53", "57", "58", "25006", "55P03"]
        .iter()
        .any(|start| code.starts_with(start))
}

/// The same by the message alone. Messages in another language than English are not known; see
/// [`DatabaseError::may_pass`].
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

/// What goes wrong after a statement has begun to run, Spin tells as text alone: the chain of errors, of which the
/// first is `db error` when PostgreSQL answered, and the next what it answered. Anything else is the connection.
fn classify_text(reason: &str) -> DatabaseError {
    let mut lines = reason
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    if !first.starts_with("db error") {
        return DatabaseError::Unavailable(first.to_owned());
    }
    // Not the lines after it: a detail could quote data.
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
    use std::time::Duration;

    use super::{DatabaseError, TIME_LIMITS, address, classify_text, is_outage};

    /// As Spin 3.6 and 4.0 put it.
    fn answered(answer: &str) -> String {
        format!("db error\n\nCaused by:\n    {answer}\n\nStack backtrace:\n   0: <unknown>")
    }

    #[test]
    fn an_address_has_a_name_and_limits_that_the_operators_settings_override() {
        assert_eq!(
            address("postgres://u:p%3F@h:5432/todo", "task-api"),
            format!("postgres://u:p%3F@h:5432/todo?application_name=task-api&{TIME_LIMITS}")
        );
        let config = |url: &str| -> tokio_postgres::Config { address(url, "x").parse().unwrap() };
        let ours = config("postgres://u:p@h/todo?sslmode=disable");
        assert_eq!(ours.get_application_name(), Some("x"));
        assert_eq!(ours.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(ours.get_tcp_user_timeout(), Some(&Duration::from_secs(10)));
        assert_eq!(ours.get_keepalives_idle(), Duration::from_secs(15));
        let theirs = config("postgres://u:p@h/todo?connect_timeout=7&application_name=y");
        assert_eq!(theirs.get_application_name(), Some("y"));
        assert_eq!(theirs.get_connect_timeout(), Some(&Duration::from_secs(7)));
    }

    #[test]
    fn what_postgres_answered_is_told_from_a_lost_connection() {
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
    fn patience_is_for_all_that_may_pass() {
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
    fn no_detail_is_told() {
        let error = classify_text(&answered(
            "ERROR: duplicate key\n    DETAIL: Key (title)=(private) exists.",
        ));
        assert!(!error.to_string().contains("private"), "{error}");
    }
}
