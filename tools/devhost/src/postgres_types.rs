//! Values between `spin:postgres@4.0.0` and PostgreSQL.

use std::error::Error as StdError;

use anyhow::{Context, Result};
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use postgres_range::{BoundSided, BoundType, Normalizable, Range, RangeBound};
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::bindings::spin::postgres::postgres::{
    DbDataType, DbValue, Interval as WitInterval, ParameterValue, RangeBoundKind,
};

type BoxedParameter = Box<dyn ToSql + Send + Sync>;
type WitRange<T> = (Option<(T, RangeBoundKind)>, Option<(T, RangeBoundKind)>);
type WitDateTime = (i32, u8, u8, u8, u8, u8, u32);
type SqlResult<T> = Result<T, Box<dyn StdError + Sync + Send>>;

/// The WIT name of a column's type.
pub fn data_type(ty: &Type) -> DbDataType {
    match *ty {
        Type::BOOL => DbDataType::Boolean,
        Type::BYTEA => DbDataType::Binary,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        Type::INT4_RANGE => DbDataType::RangeInt32,
        Type::INT8_RANGE => DbDataType::RangeInt64,
        Type::NUM_RANGE => DbDataType::RangeDecimal,
        Type::INT4_ARRAY => DbDataType::ArrayInt32,
        Type::INT8_ARRAY => DbDataType::ArrayInt64,
        Type::NUMERIC_ARRAY => DbDataType::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DbDataType::ArrayStr,
        Type::INTERVAL => DbDataType::Interval,
        _ => DbDataType::Other(ty.name().to_owned()),
    }
}

/// A column's value. Types without a counterpart arrive as their bytes; a `timestamptz` column cannot be read as the
/// date and time that stands for it (as in Spin), so statements cast or return JSON.
pub fn value(row: &Row, index: usize) -> Result<DbValue> {
    fn get<'a, T: FromSql<'a>>(
        row: &'a Row,
        index: usize,
        wrap: impl Fn(T) -> Result<DbValue>,
    ) -> Result<DbValue> {
        row.try_get::<_, Option<T>>(index)?
            .map_or(Ok(DbValue::DbNull), wrap)
    }
    match *row.columns()[index].type_() {
        Type::BOOL => get(row, index, |v| Ok(DbValue::Boolean(v))),
        Type::BYTEA => get(row, index, |v| Ok(DbValue::Binary(v))),
        Type::FLOAT4 => get(row, index, |v| Ok(DbValue::Floating32(v))),
        Type::FLOAT8 => get(row, index, |v| Ok(DbValue::Floating64(v))),
        Type::INT2 => get(row, index, |v| Ok(DbValue::Int16(v))),
        Type::INT4 => get(row, index, |v| Ok(DbValue::Int32(v))),
        Type::INT8 => get(row, index, |v| Ok(DbValue::Int64(v))),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => get(row, index, |v| Ok(DbValue::Str(v))),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            get(row, index, |v| Ok(DbValue::Datetime(date_time(v)?)))
        }
        Type::DATE => get(row, index, |v| Ok(DbValue::Date(date(v)?))),
        Type::TIME => get(row, index, |v| Ok(DbValue::Time(time(v)?))),
        Type::UUID => get(row, index, |v: Uuid| Ok(DbValue::Uuid(v.to_string()))),
        Type::JSONB => get(row, index, |v: serde_json::Value| {
            Ok(DbValue::Jsonb(serde_json::to_vec(&v)?))
        }),
        Type::NUMERIC => get(row, index, |v: Decimal| Ok(DbValue::Decimal(v.to_string()))),
        Type::INT4_RANGE => get(row, index, |v| {
            Ok(DbValue::RangeInt32(from_range(&v, i32::clone)))
        }),
        Type::INT8_RANGE => get(row, index, |v| {
            Ok(DbValue::RangeInt64(from_range(&v, i64::clone)))
        }),
        Type::NUM_RANGE => get(row, index, |v| {
            Ok(DbValue::RangeDecimal(from_range(&v, |v: &RangeDecimal| {
                v.0.to_string()
            })))
        }),
        Type::INT4_ARRAY => get(row, index, |v| Ok(DbValue::ArrayInt32(v))),
        Type::INT8_ARRAY => get(row, index, |v| Ok(DbValue::ArrayInt64(v))),
        Type::NUMERIC_ARRAY => get(row, index, |v: Vec<Option<Decimal>>| {
            Ok(DbValue::ArrayDecimal(
                v.into_iter().map(|v| v.map(|v| v.to_string())).collect(),
            ))
        }),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => {
            get(row, index, |v| Ok(DbValue::ArrayStr(v)))
        }
        Type::INTERVAL => get(row, index, |v: Interval| Ok(DbValue::Interval(v.0))),
        _ => get(row, index, |v: Raw| Ok(DbValue::Unsupported(v.0))),
    }
}

/// A statement's parameter. Each kind fits its own SQL type only: cast in the statement where another is wanted.
pub fn parameter(value: &ParameterValue) -> Result<BoxedParameter> {
    Ok(match value {
        ParameterValue::Boolean(v) => Box::new(*v),
        ParameterValue::Int8(v) => Box::new(*v),
        ParameterValue::Int16(v) => Box::new(*v),
        ParameterValue::Int32(v) => Box::new(*v),
        ParameterValue::Int64(v) => Box::new(*v),
        ParameterValue::Floating32(v) => Box::new(*v),
        ParameterValue::Floating64(v) => Box::new(*v),
        ParameterValue::Str(v) => Box::new(v.clone()),
        ParameterValue::Binary(v) => Box::new(v.clone()),
        ParameterValue::Date((y, m, d)) => Box::new(to_date(*y, *m, *d)?),
        ParameterValue::Time((h, m, s, ns)) => Box::new(to_time(*h, *m, *s, *ns)?),
        ParameterValue::Datetime((y, mo, d, h, m, s, ns)) => Box::new(NaiveDateTime::new(
            to_date(*y, *mo, *d)?,
            to_time(*h, *m, *s, *ns)?,
        )),
        ParameterValue::Timestamp(v) => Box::new(
            DateTime::<Utc>::from_timestamp(*v, 0)
                .with_context(|| format!("invalid epoch timestamp {v}"))?,
        ),
        ParameterValue::Uuid(v) => {
            Box::new(Uuid::parse_str(v).with_context(|| format!("invalid UUID {v}"))?)
        }
        ParameterValue::Jsonb(v) => {
            let json: serde_json::Value = serde_json::from_slice(v)
                .with_context(|| format!("invalid JSON {}", String::from_utf8_lossy(v)))?;
            Box::new(json)
        }
        ParameterValue::Decimal(v) => Box::new(to_decimal(v)?),
        ParameterValue::RangeInt32(v) => Box::new(to_range(v, |v| Ok(*v))?),
        ParameterValue::RangeInt64(v) => Box::new(to_range(v, |v| Ok(*v))?),
        ParameterValue::RangeDecimal(v) => {
            Box::new(to_range(v, |v| Ok(RangeDecimal(to_decimal(v)?)))?)
        }
        ParameterValue::ArrayInt32(v) => Box::new(v.clone()),
        ParameterValue::ArrayInt64(v) => Box::new(v.clone()),
        ParameterValue::ArrayDecimal(v) => {
            let decimals = v.iter().map(|v| v.as_deref().map(to_decimal).transpose());
            Box::new(decimals.collect::<Result<Vec<_>>>()?)
        }
        ParameterValue::ArrayStr(v) => Box::new(v.clone()),
        ParameterValue::Interval(v) => Box::new(Interval(*v)),
        ParameterValue::DbNull => Box::new(Null),
    })
}

/// About how many bytes a value takes.
pub fn value_size(value: &DbValue) -> usize {
    size_of::<DbValue>()
        + match value {
            DbValue::Str(v) | DbValue::Uuid(v) | DbValue::Decimal(v) => v.len(),
            DbValue::Binary(v) | DbValue::Jsonb(v) | DbValue::Unsupported(v) => v.len(),
            DbValue::ArrayInt32(v) => size_of_val(v.as_slice()),
            DbValue::ArrayInt64(v) => size_of_val(v.as_slice()),
            DbValue::ArrayDecimal(v) | DbValue::ArrayStr(v) => v
                .iter()
                .map(|v| size_of::<Option<String>>() + v.as_ref().map_or(0, String::len))
                .sum(),
            _ => 0,
        }
}

fn to_date(year: i32, month: u8, day: u8) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month.into(), day.into())
        .with_context(|| format!("invalid date y={year}, m={month}, d={day}"))
}

fn to_time(hour: u8, minute: u8, second: u8, nanosecond: u32) -> Result<NaiveTime> {
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nanosecond)
        .with_context(|| format!("invalid time {hour}:{minute}:{second}:{nanosecond}"))
}

fn date(value: NaiveDate) -> Result<(i32, u8, u8)> {
    Ok((
        value.year(),
        value.month().try_into()?,
        value.day().try_into()?,
    ))
}

fn time(value: NaiveTime) -> Result<(u8, u8, u8, u32)> {
    Ok((
        value.hour().try_into()?,
        value.minute().try_into()?,
        value.second().try_into()?,
        value.nanosecond(),
    ))
}

fn date_time(value: NaiveDateTime) -> Result<WitDateTime> {
    let ((year, month, day), (hour, minute, second, nanosecond)) =
        (date(value.date())?, time(value.time())?);
    Ok((year, month, day, hour, minute, second, nanosecond))
}

fn to_decimal(value: &str) -> Result<Decimal> {
    Decimal::from_str_exact(value).with_context(|| format!("invalid decimal {value}"))
}

fn to_range<T, S>(range: &WitRange<T>, convert: impl Fn(&T) -> Result<S>) -> Result<Range<S>>
where
    S: Normalizable + PartialOrd,
{
    Ok(Range::new(
        to_bound(&range.0, &convert)?,
        to_bound(&range.1, &convert)?,
    ))
}

fn to_bound<T, S, B>(
    bound: &Option<(T, RangeBoundKind)>,
    convert: impl Fn(&T) -> Result<S>,
) -> Result<Option<RangeBound<B, S>>>
where
    S: PartialOrd,
    B: BoundSided,
{
    let Some((value, kind)) = bound else {
        return Ok(None);
    };
    let kind = match kind {
        RangeBoundKind::Inclusive => BoundType::Inclusive,
        RangeBoundKind::Exclusive => BoundType::Exclusive,
    };
    Ok(Some(RangeBound::new(convert(value)?, kind)))
}

fn from_range<T, S>(range: &Range<S>, convert: impl Fn(&S) -> T) -> WitRange<T>
where
    S: Normalizable + PartialOrd,
{
    (
        range.lower().map(|bound| from_bound(bound, &convert)),
        range.upper().map(|bound| from_bound(bound, &convert)),
    )
}

fn from_bound<T, S, B: BoundSided>(
    bound: &RangeBound<B, S>,
    convert: impl Fn(&S) -> T,
) -> (T, RangeBoundKind) {
    let kind = match bound.type_ {
        BoundType::Inclusive => RangeBoundKind::Inclusive,
        BoundType::Exclusive => RangeBoundKind::Exclusive,
    };
    (convert(&bound.value), kind)
}

/// A decimal as the bound of a range.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct RangeDecimal(Decimal);

impl Normalizable for RangeDecimal {
    fn normalize<B: BoundSided>(bound: RangeBound<B, Self>) -> RangeBound<B, Self> {
        bound
    }
}

impl ToSql for RangeDecimal {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> SqlResult<IsNull> {
        self.0.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <Decimal as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl FromSql<'_> for RangeDecimal {
    fn from_sql(ty: &Type, raw: &[u8]) -> SqlResult<Self> {
        Decimal::from_sql(ty, raw).map(Self)
    }

    fn accepts(ty: &Type) -> bool {
        <Decimal as FromSql>::accepts(ty)
    }
}

/// An interval in PostgreSQL's binary form: microseconds, days, months.
#[derive(Debug)]
struct Interval(WitInterval);

impl ToSql for Interval {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> SqlResult<IsNull> {
        out.put_i64(self.0.micros);
        out.put_i32(self.0.days);
        out.put_i32(self.0.months);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INTERVAL
    }

    to_sql_checked!();
}

impl FromSql<'_> for Interval {
    fn from_sql(_: &Type, raw: &[u8]) -> SqlResult<Self> {
        let (micros, rest) = raw.split_first_chunk().ok_or("an interval is too short")?;
        let (days, rest) = rest.split_first_chunk().ok_or("an interval is too short")?;
        let months = rest.try_into()?;
        Ok(Self(WitInterval {
            micros: i64::from_be_bytes(*micros),
            days: i32::from_be_bytes(*days),
            months: i32::from_be_bytes(months),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INTERVAL
    }
}

/// NULL for a parameter of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> SqlResult<IsNull> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The bytes of a value whose type has no counterpart.
struct Raw(Vec<u8>);

impl FromSql<'_> for Raw {
    fn from_sql(_: &Type, raw: &[u8]) -> SqlResult<Self> {
        Ok(Self(raw.to_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
