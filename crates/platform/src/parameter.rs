//! Parameters of statements that are not calls of a function ([`crate::call`]).

use spin_sdk::pg4::ParameterValue;
use uuid::Uuid;

/// What a statement can take as a parameter.
pub trait Parameter {
    /// The parameter as the driver takes it.
    fn into_value(self) -> ParameterValue;
}

impl Parameter for &str {
    fn into_value(self) -> ParameterValue {
        ParameterValue::Str(self.to_owned())
    }
}

impl Parameter for String {
    fn into_value(self) -> ParameterValue {
        ParameterValue::Str(self)
    }
}

/// As text: the driver does not know UUIDs.
impl Parameter for Uuid {
    fn into_value(self) -> ParameterValue {
        ParameterValue::Str(self.to_string())
    }
}

impl Parameter for i64 {
    fn into_value(self) -> ParameterValue {
        ParameterValue::Int64(self)
    }
}

impl Parameter for Vec<String> {
    fn into_value(self) -> ParameterValue {
        ParameterValue::ArrayStr(self.into_iter().map(Some).collect())
    }
}

/// `None` becomes NULL.
impl<P: Parameter> Parameter for Option<P> {
    fn into_value(self) -> ParameterValue {
        self.map_or(ParameterValue::DbNull, Parameter::into_value)
    }
}

/// A parameter.
pub fn param(value: impl Parameter) -> ParameterValue {
    value.into_value()
}
