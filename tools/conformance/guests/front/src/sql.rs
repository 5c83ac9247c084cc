//! What tests ask of the database.

use anyhow::{Result, ensure};
use spin_sdk::pg4::{
    Connection, DbDataType, DbValue, Interval, ParameterValue, PgError as Error, QueryError,
    RangeBoundKind,
};

fn open() -> Result<Connection, Error> {
    Connection::open(&spin_sdk::variables::get("database_url").unwrap_or_default())
}

/// Runs one statement, given percent-encoded; `execute:` before it only counts rows.
pub fn run(query: &str) -> String {
    let statement = percent_decoded(query);
    let result = match statement.strip_prefix("open:") {
        Some(address) => Connection::open(address).map(|_| "opened".to_owned()),
        None => open().and_then(|connection| match statement.strip_prefix("execute:") {
            Some(statement) => connection
                .execute(statement, &[])
                .map(|count| count.to_string()),
            None => connection
                .query(&statement, &[])
                .map(|rows| format!("{:?}", rows.rows)),
        }),
    };
    result.unwrap_or_else(|error| match error {
        Error::QueryFailed(QueryError::DbError(error)) => {
            format!("{} {} {:?}", error.severity, error.code, error.extras)
        }
        other => format!("{other:?}"),
    })
}

/// Opens the database by two addresses, one after the other; the answer is the two process ids in the server.
pub fn two_pools() -> String {
    let address = spin_sdk::variables::get("database_url").unwrap_or_default();
    let mark = if address.contains('?') { '&' } else { '?' };
    let pids = [address.clone(), format!("{address}{mark}application_name=other")].map(|address| {
        let connection = Connection::open(&address)?;
        let rows = connection.query("SELECT pg_backend_pid()", &[])?.rows;
        Ok::<_, Error>(format!("{rows:?}"))
    });
    match pids {
        [Ok(one), Ok(other)] => format!("{one} {other}"),
        [Err(error), _] | [_, Err(error)] => format!("{error:?}"),
    }
}

/// Keeps a connection for a while. The answer is its process id in the server.
pub fn hold(query: &str) -> String {
    let connection = match open() {
        Ok(connection) => connection,
        Err(error) => return format!("{error:?}"),
    };
    let rows = connection.query("SELECT pg_backend_pid()", &[]);
    std::thread::sleep(std::time::Duration::from_millis(query.parse().unwrap_or(0)));
    rows.map_or_else(
        |error| format!("{error:?}"),
        |rows| format!("{:?}", rows.rows),
    )
}

/// Sends a value of each kind and compares what comes back.
pub fn types() -> Result<String> {
    let connection = open()?;
    let range = |from: i32, to: i32| {
        (
            Some((from, RangeBoundKind::Inclusive)),
            Some((to, RangeBoundKind::Exclusive)),
        )
    };
    let long = |from: i64| (Some((from, RangeBoundKind::Inclusive)), None);
    let decimal = (None, Some(("1.50".to_owned(), RangeBoundKind::Inclusive)));
    let interval = Interval {
        micros: 1_500_000,
        days: 2,
        months: 3,
    };
    let cases: Vec<(&str, ParameterValue, DbValue, DbDataType)> = vec![
        (
            "boolean",
            ParameterValue::Boolean(true),
            DbValue::Boolean(true),
            DbDataType::Boolean,
        ),
        (
            "smallint",
            ParameterValue::Int16(-7),
            DbValue::Int16(-7),
            DbDataType::Int16,
        ),
        (
            "int",
            ParameterValue::Int32(1 << 30),
            DbValue::Int32(1 << 30),
            DbDataType::Int32,
        ),
        (
            "bigint",
            ParameterValue::Int64(1 << 60),
            DbValue::Int64(1 << 60),
            DbDataType::Int64,
        ),
        (
            "real",
            ParameterValue::Floating32(0.5),
            DbValue::Floating32(0.5),
            DbDataType::Floating32,
        ),
        (
            "float8",
            ParameterValue::Floating64(0.25),
            DbValue::Floating64(0.25),
            DbDataType::Floating64,
        ),
        (
            "text",
            ParameterValue::Str("žluť".into()),
            DbValue::Str("žluť".into()),
            DbDataType::Str,
        ),
        (
            "bytea",
            ParameterValue::Binary(vec![0, 255]),
            DbValue::Binary(vec![0, 255]),
            DbDataType::Binary,
        ),
        (
            "date",
            ParameterValue::Date((2024, 2, 29)),
            DbValue::Date((2024, 2, 29)),
            DbDataType::Date,
        ),
        (
            "time",
            ParameterValue::Time((23, 59, 58, 1000)),
            DbValue::Time((23, 59, 58, 1000)),
            DbDataType::Time,
        ),
        (
            "timestamp",
            ParameterValue::Datetime((1999, 12, 31, 23, 59, 59, 5000)),
            DbValue::Datetime((1999, 12, 31, 23, 59, 59, 5000)),
            DbDataType::Datetime,
        ),
        (
            "uuid",
            ParameterValue::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".into()),
            DbValue::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".into()),
            DbDataType::Uuid,
        ),
        (
            "jsonb",
            ParameterValue::Jsonb(br#"{"a":[1,null]}"#.to_vec()),
            DbValue::Jsonb(br#"{"a":[1,null]}"#.to_vec()),
            DbDataType::Jsonb,
        ),
        (
            "numeric",
            ParameterValue::Decimal("12.340".into()),
            DbValue::Decimal("12.340".into()),
            DbDataType::Decimal,
        ),
        (
            "int4range",
            ParameterValue::RangeInt32(range(1, 5)),
            DbValue::RangeInt32(range(1, 5)),
            DbDataType::RangeInt32,
        ),
        (
            "int8range",
            ParameterValue::RangeInt64(long(9)),
            DbValue::RangeInt64(long(9)),
            DbDataType::RangeInt64,
        ),
        (
            "numrange",
            ParameterValue::RangeDecimal(decimal.clone()),
            DbValue::RangeDecimal(decimal),
            DbDataType::RangeDecimal,
        ),
        (
            "int[]",
            ParameterValue::ArrayInt32(vec![Some(1), None]),
            DbValue::ArrayInt32(vec![Some(1), None]),
            DbDataType::ArrayInt32,
        ),
        (
            "bigint[]",
            ParameterValue::ArrayInt64(vec![Some(2)]),
            DbValue::ArrayInt64(vec![Some(2)]),
            DbDataType::ArrayInt64,
        ),
        (
            "numeric[]",
            ParameterValue::ArrayDecimal(vec![Some("1.5".into()), None]),
            DbValue::ArrayDecimal(vec![Some("1.5".into()), None]),
            DbDataType::ArrayDecimal,
        ),
        (
            "text[]",
            ParameterValue::ArrayStr(vec![Some("a".into()), None]),
            DbValue::ArrayStr(vec![Some("a".into()), None]),
            DbDataType::ArrayStr,
        ),
        (
            "interval",
            ParameterValue::Interval(interval),
            DbValue::Interval(interval),
            DbDataType::Interval,
        ),
        (
            "text",
            ParameterValue::DbNull,
            DbValue::DbNull,
            DbDataType::Str,
        ),
    ];
    for (sql, parameter, value, data_type) in &cases {
        let rows = connection.query(
            &format!("SELECT $1::{sql} AS it"),
            std::slice::from_ref(parameter),
        )?;
        let got = format!("{:?}", rows.rows);
        ensure!(got == format!("{:?}", [[value]]), "{sql}: {got}");
        let column = &rows.columns[0];
        ensure!(
            column.name == "it" && format!("{:?}", column.data_type) == format!("{data_type:?}"),
            "{sql}: {column:?}"
        );
    }
    let zoned = connection.query("SELECT now() AS it", &[]);
    ensure!(zoned.is_err(), "a timestamptz column arrived as {zoned:?}");
    let timestamp = connection.query(
        "SELECT $1::timestamptz::text",
        &[ParameterValue::Timestamp(0)],
    )?;
    ensure!(
        format!("{:?}", timestamp.rows).contains("1970-01-01"),
        "{timestamp:?}"
    );
    let other = connection.query("SELECT '127.0.0.1'::inet", &[])?;
    ensure!(
        matches!(other.rows[0][0], DbValue::Unsupported(_)),
        "{other:?}"
    );
    let bad = connection.query(
        "SELECT $1::uuid",
        &[ParameterValue::Uuid("nonsense".into())],
    );
    ensure!(matches!(bad, Err(Error::BadParameter(_))), "{bad:?}");
    let bad = connection.execute(
        "SELECT $1::uuid",
        &[ParameterValue::Uuid("nonsense".into())],
    );
    ensure!(
        matches!(bad, Err(Error::ValueConversionFailed(_))),
        "{bad:?}"
    );
    let mismatch = connection.query("SELECT $1::text", &[ParameterValue::Int32(1)]);
    ensure!(
        matches!(mismatch, Err(Error::QueryFailed(_))),
        "{mismatch:?}"
    );
    Ok(format!("{} kinds", cases.len()))
}

/// `%41` and `+` as in a query.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let pair = (byte == b'%').then(|| [rest.next().unwrap_or(0), rest.next().unwrap_or(0)]);
        let decoded =
            pair.and_then(|pair| u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(if byte == b'+' { b' ' } else { byte }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
