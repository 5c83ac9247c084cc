//! Application variables: where their values come from, templates over them, and what a component sees of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use indexmap::IndexMap;

use crate::manifest::{Variable, check_id};

/// One `--variable` of the command line: `key=value`, `key=@file`, `@file.json` or `@file.toml`.
#[derive(Clone, Debug)]
pub struct VariableArgument(Vec<(String, String)>);

impl FromStr for VariableArgument {
    type Err = anyhow::Error;

    fn from_str(argument: &str) -> Result<Self> {
        let read = |path: &str| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
        };
        if let Some(path) = argument.strip_prefix('@') {
            let text = read(path)?;
            let values: HashMap<String, String> =
                match Path::new(path).extension().and_then(|e| e.to_str()) {
                    Some("json") => serde_json::from_str(&text)?,
                    Some("toml") => toml::from_str(&text)?,
                    _ => bail!("a file of variables must end in .json or .toml"),
                };
            return Ok(Self(values.into_iter().collect()));
        }
        let (key, value) = argument
            .split_once('=')
            .context("a variable is given as key=value or @file")?;
        let value = value
            .strip_prefix('@')
            .map_or_else(|| Ok(value.to_owned()), read)?;
        Ok(Self(vec![(key.to_owned(), value)]))
    }
}

/// The application's variables with their values.
#[derive(Debug)]
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// Finds each variable's value: the command line first (its last word counts), then `SPIN_VARIABLE_<NAME>` in the
    /// environment, then the same in `.env` of the working folder, then the default. Fails when a required one has none.
    pub fn resolve(
        declared: &IndexMap<String, Variable>,
        arguments: &[VariableArgument],
    ) -> Result<Self> {
        let arguments: HashMap<&str, &str> = arguments
            .iter()
            .flat_map(|argument| &argument.0)
            .map(|(key, value)| (&**key, &**value))
            .collect();
        let dotenv: HashMap<String, String> = match dotenvy::from_path_iter(".env") {
            Ok(lines) => lines
                .collect::<Result<_, _>>()
                .context(".env cannot be read")?,
            Err(_) => HashMap::new(),
        };
        let mut values = HashMap::new();
        let mut missing = Vec::new();
        for (name, variable) in declared {
            let key = format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase());
            let given = arguments
                .get(&**name)
                .map(|value| (*value).to_owned())
                .or_else(|| std::env::var(&key).ok())
                .or_else(|| dotenv.get(&key).cloned());
            match given.or_else(|| variable.default.clone()) {
                Some(value) => drop(values.insert(name.clone(), value)),
                None => missing.push(name.as_str()),
            }
        }
        ensure!(
            missing.is_empty(),
            "no value is given for the required variable(s) {}: use --variable NAME=VALUE or SPIN_VARIABLE_NAME",
            missing.join(", ")
        );
        Ok(Self(values))
    }

    /// The defaults alone, as if nobody had given a value.
    pub fn defaults(declared: &IndexMap<String, Variable>) -> Self {
        let defaults = declared
            .iter()
            .filter_map(|(name, variable)| Some((name.clone(), variable.default.clone()?)));
        Self(defaults.collect())
    }

    /// Whether each variable of a template has a value. Fails when it is no template.
    pub fn have_all_of(&self, template: &str) -> Result<bool> {
        let mut rest = template;
        let mut all = true;
        while let Some((_, expression)) = rest.split_once("{{") {
            let (name, after) = expression
                .split_once("}}")
                .context("a template's {{ has no }}")?;
            all &= self.0.contains_key(name.trim());
            rest = after;
        }
        Ok(all)
    }

    /// Fills a template: each `{{ name }}` becomes that variable's value.
    pub fn fill(&self, template: &str) -> Result<String> {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((literal, expression)) = rest.split_once("{{") {
            let (name, after) = expression
                .split_once("}}")
                .context("a template's {{ has no }}")?;
            let name = name.trim();
            filled.push_str(literal);
            filled.push_str(
                self.0
                    .get(name)
                    .with_context(|| format!("unknown variable {name:?}"))?,
            );
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// A component's own variables, filled.
    pub fn of_component(&self, templates: &BTreeMap<String, String>) -> Result<ComponentVariables> {
        let filled = templates.iter().map(|(name, template)| {
            let value = self
                .fill(template)
                .with_context(|| format!("variable {name:?}"))?;
            Ok((name.clone(), value))
        });
        Ok(ComponentVariables(filled.collect::<Result<_>>()?))
    }
}

/// What one component sees: only what its own table in the manifest gives it.
#[derive(Debug)]
pub struct ComponentVariables(BTreeMap<String, String>);

/// Why a component gets no value.
#[derive(Debug)]
pub enum LookupError {
    /// The name could not be any variable's.
    InvalidName(String),
    /// The component has no such variable.
    Undefined(String),
}

impl ComponentVariables {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Result<&str, LookupError> {
        if let Err(error) = check_id(name, '_', true) {
            return Err(LookupError::InvalidName(error.to_string()));
        }
        let value = self.0.get(name).map(String::as_str);
        value.ok_or_else(|| {
            LookupError::Undefined(format!("no variable {name:?} for this component"))
        })
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<(String, String)> {
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables(
            [("host", "127.0.0.1:5432"), ("empty", "")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        )
    }

    #[test]
    fn templates_are_filled() {
        for (template, filled) in [
            ("", ""),
            ("plain } text {", "plain } text {"),
            ("{{ host }}", "127.0.0.1:5432"),
            (
                "postgres://{{host}}/x{{ empty }}",
                "postgres://127.0.0.1:5432/x",
            ),
        ] {
            assert_eq!(variables().fill(template).unwrap(), filled);
        }
        assert!(variables().fill("{{ host").is_err());
        assert!(variables().fill("{{ other }}").is_err());
    }

    #[test]
    fn a_required_variable_must_be_given() {
        let declared: IndexMap<String, Variable> =
            toml::from_str("[needed_only_here]\nrequired = true").unwrap();
        let error = Variables::resolve(&declared, &[]).unwrap_err().to_string();
        assert!(error.contains("needed_only_here"), "{error}");
        let given = [
            "needed_only_here=1".parse().unwrap(),
            "needed_only_here=a=b".parse().unwrap(),
        ];
        assert_eq!(
            Variables::resolve(&declared, &given)
                .unwrap()
                .fill("{{needed_only_here}}")
                .unwrap(),
            "a=b"
        );
    }

    #[test]
    fn a_component_sees_only_its_own_variables() {
        let own = variables()
            .of_component(&[("pg".to_owned(), "{{ host }}".to_owned())].into())
            .unwrap();
        assert_eq!(own.get("pg").unwrap(), "127.0.0.1:5432");
        assert!(matches!(own.get("host"), Err(LookupError::Undefined(_))));
        assert!(matches!(
            own.get("No-Name"),
            Err(LookupError::InvalidName(_))
        ));
    }
}
