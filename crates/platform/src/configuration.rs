//! Settings, from Spin variables.

use std::fmt;

use spin_sdk::variables;

/// A variable that is missing or has an unusable value. Names the variable, never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationError(String);

impl fmt::Display for ConfigurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ConfigurationError {}

/// The variable `name` of this component.
///
/// # Errors
///
/// When the component has no such variable.
pub fn variable(name: &str) -> Result<String, ConfigurationError> {
    variables::get(name).map_err(|_| ConfigurationError(format!("the variable {name} is not set")))
}

/// The variable `name`, which must have a value.
///
/// # Errors
///
/// When the component has no such variable or it is empty.
pub fn required(name: &str) -> Result<String, ConfigurationError> {
    match variable(name)? {
        value if value.is_empty() => {
            Err(ConfigurationError(format!("the variable {name} is empty")))
        }
        value => Ok(value),
    }
}

/// The variable `name`, a whole number.
///
/// # Errors
///
/// When the component has no such variable or it is not a number from 0.
pub fn whole_number(name: &str) -> Result<i64, ConfigurationError> {
    variable(name)?
        .parse()
        .ok()
        .filter(|number| *number >= 0)
        .ok_or_else(|| ConfigurationError(format!("the variable {name} is not a whole number")))
}
