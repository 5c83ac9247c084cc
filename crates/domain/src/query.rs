//! The query string of a request.

use percent_encoding::percent_decode;

use crate::violation::{MOST_VIOLATIONS, Violation};

/// The parameters of a query string, each at most once.
#[derive(Debug, Default)]
pub struct Query {
    parameters: Vec<(String, String)>,
}

impl Query {
    /// Decodes `application/x-www-form-urlencoded` text (without the `?`).
    ///
    /// # Errors
    ///
    /// A parameter that is unknown (not in `known`), given twice, not UTF-8 or that contains NUL; the first
    /// [`MOST_VIOLATIONS`] of these.
    pub fn parse(query: &str, known: &[&str]) -> Result<Self, Vec<Violation>> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        let mut violations = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if violations.len() == MOST_VIOLATIONS {
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), _) if !known.contains(&name.as_str()) => {
                    violations.push(Violation::parameter(
                        &name,
                        format!("is unknown; the parameters are {}", known.join(", ")),
                    ));
                }
                (Some(name), _) if parameters.iter().any(|(other, _)| *other == name) => {
                    violations.push(Violation::parameter(&name, "is given twice"));
                }
                (Some(name), Some(value)) => parameters.push((name, value)),
                (Some(name), None) => {
                    violations.push(Violation::parameter(&name, "must be UTF-8 without NUL"));
                }
                (None, _) => {
                    violations.push(Violation::parameter("", "a parameter's name must be UTF-8"));
                }
            }
        }
        if violations.is_empty() {
            Ok(Self { parameters })
        } else {
            Err(violations)
        }
    }

    /// The value of the parameter `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().ok()?;
    (!decoded.contains('\0')).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let query = Query::parse("q=a+b%26c&status=&&limit=5", &["q", "status", "limit"]).unwrap();
        assert_eq!(query.get("q"), Some("a b&c"));
        assert_eq!(query.get("status"), Some(""));
        assert_eq!(query.get("cursor"), None);
    }

    #[test]
    fn each_unreadable_parameter_is_named() {
        for query in ["q=%ff", "q=%00", "%ff=1", "other=1", "q=1&q=2"] {
            assert_eq!(Query::parse(query, &["q"]).unwrap_err().len(), 1, "{query}");
        }
    }

    #[test]
    fn of_many_bad_parameters_only_some_are_listed() {
        for pair in ["a&", "%ff&", "q&"] {
            let query = pair.repeat(30_000);
            let violations = Query::parse(&query, &["q"]).unwrap_err();
            assert_eq!(violations.len(), MOST_VIOLATIONS, "{pair}");
        }
    }
}
