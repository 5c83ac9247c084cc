//! Calls of database functions, by name and with named parameters.
//!
//! Every statement that changes something is such a function; its text stands in `migrations/functions`.

use domain::timestamp::Timestamp;
use spin_sdk::pg4::ParameterValue;
use uuid::Uuid;

/// A call while it is being put together.
pub struct Call {
    function: &'static str,
    arguments: Vec<Argument>,
}

struct Argument {
    name: &'static str,
    /// What the parameter is cast to: the driver knows fewer types than PostgreSQL.
    cast: &'static str,
    value: ParameterValue,
}

impl Call {
    /// A call of a function without arguments.
    pub fn of(function: &'static str) -> Self {
        Self {
            function,
            arguments: Vec::new(),
        }
    }

    fn with(
        mut self,
        name: &'static str,
        cast: &'static str,
        value: Option<ParameterValue>,
    ) -> Self {
        self.arguments.push(Argument {
            name,
            cast,
            value: value.unwrap_or(ParameterValue::DbNull),
        });
        self
    }

    /// With a text.
    #[must_use]
    pub fn text(self, name: &'static str, value: impl Into<String>) -> Self {
        self.optional_text(name, Some(value))
    }

    /// With a text or NULL.
    #[must_use]
    pub fn optional_text(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        let value = value.map(|text| ParameterValue::Str(text.into()));
        self.with(name, "::text", value)
    }

    /// With a UUID.
    #[must_use]
    pub fn uuid(self, name: &'static str, value: Uuid) -> Self {
        let value = ParameterValue::Str(value.to_string());
        self.with(name, "::text::uuid", Some(value))
    }

    /// With a UUID or NULL.
    #[must_use]
    pub fn optional_uuid(self, name: &'static str, value: Option<Uuid>) -> Self {
        let value = value.map(|id| ParameterValue::Str(id.to_string()));
        self.with(name, "::text::uuid", value)
    }

    /// With JSON.
    #[must_use]
    pub fn json(self, name: &'static str, value: impl Into<String>) -> Self {
        self.with(
            name,
            "::text::jsonb",
            Some(ParameterValue::Str(value.into())),
        )
    }

    /// With an instant.
    #[must_use]
    pub fn instant(self, name: &'static str, value: Option<Timestamp>) -> Self {
        let value = value.map(|instant| ParameterValue::Str(instant.to_string()));
        self.with(name, "::text::timestamptz", value)
    }

    /// With several instants.
    #[must_use]
    pub fn instants(self, name: &'static str, values: &[Timestamp]) -> Self {
        let array = array(values);
        self.with(name, "::text::timestamptz[]", Some(array))
    }

    /// With a `bigint`.
    #[must_use]
    pub fn bigint(self, name: &'static str, value: i64) -> Self {
        self.with(name, "::bigint", Some(ParameterValue::Int64(value)))
    }

    /// With a `bigint` or NULL.
    #[must_use]
    pub fn optional_bigint(self, name: &'static str, value: Option<i64>) -> Self {
        self.with(name, "::bigint", value.map(ParameterValue::Int64))
    }

    /// With several `bigint`.
    #[must_use]
    pub fn bigints(self, name: &'static str, values: Option<&[i64]>) -> Self {
        self.with(name, "::text::bigint[]", values.map(array))
    }

    /// With an `integer`.
    #[must_use]
    pub fn integer(self, name: &'static str, value: impl Into<i64>) -> Self {
        let value = ParameterValue::Int64(value.into());
        self.with(name, "::bigint::integer", Some(value))
    }

    /// With a boolean.
    #[must_use]
    pub fn boolean(self, name: &'static str, value: bool) -> Self {
        self.with(name, "::boolean", Some(ParameterValue::Boolean(value)))
    }

    /// With bytes.
    #[must_use]
    pub fn bytes(self, name: &'static str, value: Option<Vec<u8>>) -> Self {
        self.with(name, "::bytea", value.map(ParameterValue::Binary))
    }

    /// The statement, which returns one row with one column, JSON as text, and its parameters. The function's result as
    /// text must be JSON: so it returns JSON, a boolean or a number.
    pub fn statement(self) -> (String, Vec<ParameterValue>) {
        let named: Vec<String> = self
            .arguments
            .iter()
            .enumerate()
            .map(|(index, Argument { name, cast, .. })| format!("{name} => ${}{cast}", index + 1))
            .collect();
        let statement = format!(
            "SELECT coalesce({}({})::text, 'null')",
            self.function,
            named.join(", ")
        );
        let parameters = self.arguments.into_iter().map(|argument| argument.value);
        (statement, parameters.collect())
    }
}

/// An array of values that contain neither commas nor quotes.
fn array(values: &[impl ToString]) -> ParameterValue {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    ParameterValue::Str(format!("{{{}}}", values.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_names_its_parameters() {
        let call = Call::of("complete_task")
            .text("user_id", "alice")
            .uuid("task_id", Uuid::nil())
            .instant("due", None);
        let (statement, parameters) = call.statement();
        assert_eq!(
            statement,
            "SELECT coalesce(complete_task(user_id => $1::text, task_id => $2::text::uuid, \
             due => $3::text::timestamptz)::text, 'null')"
        );
        assert_eq!(parameters.len(), 3);
    }
}
