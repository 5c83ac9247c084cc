//! Runs the components' statements natively on the service's own database, in a transaction that is rolled back.

use std::error::Error;

use e2e::database::Database;
use postgres::types::private::BytesMut;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Row, Transaction};
use spin_sdk::pg4::ParameterValue;

/// NULL of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Text of any type.
struct Text(String);

impl<'a> FromSql<'a> for Text {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(String::from_utf8(raw.to_vec())?))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter as the native driver takes it.
fn native(parameter: ParameterValue) -> Box<dyn ToSql + Sync> {
    match parameter {
        ParameterValue::DbNull => Box::new(Null),
        ParameterValue::Str(text) => Box::new(text),
        ParameterValue::Int64(number) => Box::new(number),
        ParameterValue::Boolean(boolean) => Box::new(boolean),
        ParameterValue::Binary(bytes) => Box::new(bytes),
        ParameterValue::ArrayStr(texts) => Box::new(texts),
        other => panic!("{other:?}"),
    }
}

/// A transaction that is rolled back when this is dropped.
pub struct Scratch<'a> {
    transaction: Transaction<'a>,
}

impl<'a> Scratch<'a> {
    /// Begins it with statements without parameters.
    pub fn begin(database: &'a mut Database, preparation: &str) -> Self {
        let begun = database.client().transaction().and_then(|mut transaction| {
            transaction.batch_execute(preparation)?;
            Ok(transaction)
        });
        match begun {
            Ok(transaction) => Self { transaction },
            Err(error) => panic!("{error:?}: {preparation}"),
        }
    }

    /// Runs a statement and returns the texts in its only column.
    pub fn run(&mut self, statement: &str, parameters: Vec<ParameterValue>) -> Vec<String> {
        let parameters: Vec<_> = parameters.into_iter().map(native).collect();
        let parameters: Vec<_> = parameters.iter().map(AsRef::as_ref).collect();
        let text = |row: &Row| {
            assert_eq!(row.len(), 1, "{statement}");
            row.get::<_, Text>(0).0
        };
        match self.transaction.query(statement, &parameters) {
            Ok(rows) => rows.iter().map(text).collect(),
            Err(error) => panic!("{error:?}: {statement}"),
        }
    }
}
