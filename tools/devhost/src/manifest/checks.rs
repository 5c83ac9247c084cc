//! What a manifest must and must not say, beyond the form of its fields.

use anyhow::{Context, Result, bail, ensure};

use super::{Component, Manifest, Target};
use crate::allowed_hosts::AllowedHosts;
use crate::composition::DependencyName;
use crate::variables::Variables;

impl Manifest {
    /// Reads the triggers out of their generic form and gives each an id.
    pub(super) fn take_triggers(&mut self) -> Result<()> {
        for (kind, triggers) in std::mem::take(&mut self.triggers) {
            ensure!(
                kind == "http",
                "[[trigger.{kind}]] needs a host that this one is not: it serves HTTP only"
            );
            self.http_triggers = triggers.try_into().context("[[trigger.http]]")?;
        }
        let mut taken: Vec<String> = self
            .http_triggers
            .iter()
            .map(|trigger| trigger.id.clone())
            .collect();
        for trigger in &mut self.http_triggers {
            if !trigger.id.is_empty() {
                continue;
            }
            let natural = match &trigger.component {
                Some(toml::Value::String(component)) => Some(format!("{component}-http-trigger")),
                _ => None,
            };
            let numbered = (1..).map(|number| format!("http-trigger{number}"));
            trigger.id = natural
                .into_iter()
                .chain(numbered)
                .find(|candidate| !taken.contains(candidate))
                .context("no trigger id is left")?;
            taken.push(trigger.id.clone());
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some(settings) = self.application.trigger_settings.get("http") {
            for (name, value) in settings {
                ensure!(
                    name == "base",
                    "[application.trigger.http] has no setting {name:?}"
                );
                ensure!(
                    value.as_str() == Some("/"),
                    "[application.trigger.http] `base` is retired: write it into the routes"
                );
            }
        }
        for (name, variable) in &self.variables {
            check_id(name, '_', true).with_context(|| format!("variable {name:?}"))?;
            ensure!(
                variable.required != variable.default.is_some(),
                "variable {name:?} must be `required` or have a `default`"
            );
        }
        let defaults = Variables::defaults(&self.variables);
        for (id, component) in &self.components {
            check_id(id, '-', false)
                .and_then(|()| component.check())
                .and_then(|()| AllowedHosts::check(&component.allowed_outbound_hosts, &defaults))
                .with_context(|| format!("component {id:?}"))?;
        }
        for trigger in &self.http_triggers {
            let target = trigger
                .target()
                .with_context(|| format!("trigger {:?}", trigger.id))?;
            if let Target::Component(id) = target {
                self.component(id)?;
            }
        }
        Ok(())
    }
}

impl Component {
    fn check(&self) -> Result<()> {
        let absent = [
            ("files", self.files.is_empty()),
            ("allowed_http_hosts", self.allowed_http_hosts.is_empty()),
            ("key_value_stores", self.key_value_stores.is_empty()),
            ("sqlite_databases", self.sqlite_databases.is_empty()),
            ("ai_models", self.ai_models.is_empty()),
        ];
        for (field, absent) in absent {
            ensure!(absent, "Spin has `{field}`, this host has not");
        }
        for name in self.variables.keys() {
            check_id(name, '_', true).with_context(|| format!("variable {name:?}"))?;
        }
        let names: Vec<DependencyName> = self
            .dependencies
            .keys()
            .map(|name| name.parse())
            .collect::<Result<_>>()?;
        for (index, name) in names.iter().enumerate() {
            if let Some(other) = names
                .iter()
                .skip(index + 1)
                .find(|other| name.overlaps(other))
            {
                bail!("dependency {name} conflicts with {other}");
            }
        }
        Ok(())
    }
}

/// An id is words joined by `separator`; a word is a letter followed by letters of the same case and digits.
pub fn check_id(id: &str, separator: char, lowercase: bool) -> Result<()> {
    for word in id.split(separator) {
        let first = word.chars().next().unwrap_or('-');
        let same_case = |letter: char| letter.is_ascii_uppercase() == first.is_ascii_uppercase();
        ensure!(
            first.is_ascii_alphabetic()
                && word
                    .chars()
                    .all(|c| c.is_ascii_digit() || (c.is_ascii_alphabetic() && same_case(c))),
            "{id:?} must be words of letters and digits joined by {separator:?}, each of one case, beginning with a letter"
        );
        ensure!(
            !(lowercase && first.is_ascii_uppercase()),
            "{id:?} must be lowercase"
        );
    }
    Ok(())
}
