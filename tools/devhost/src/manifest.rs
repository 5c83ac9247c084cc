//! The application manifest (`spin.toml`, version 2): what it may say, and what this host can serve of it.
//!
//! As strict as Spin: an unknown field is an error. What Spin knows and this host cannot do is read, and refused with
//! a message that names it.

mod checks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use indexmap::IndexMap;
use serde::Deserialize;

pub use self::checks::check_id;
use crate::build::Build;
use crate::composition::DependencyName;

/// A whole manifest. Tables keep the order in which they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    spin_manifest_version: toml::Value,
    /// `[application]`
    pub application: Application,
    /// `[variables]`, by name.
    #[serde(default)]
    pub variables: IndexMap<String, Variable>,
    #[serde(rename = "trigger")]
    triggers: IndexMap<String, toml::Value>,
    /// `[component.<id>]`, by id.
    #[serde(default, rename = "component")]
    pub components: IndexMap<String, Component>,
    /// `[[trigger.http]]`, each with its id.
    #[serde(skip)]
    pub http_triggers: Vec<HttpTrigger>,
}

/// `[application]`. Only `name` is required; nothing but trigger settings changes how the application is served.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that exactly Spin's fields are accepted")]
pub struct Application {
    /// The application's name.
    pub name: String,
    /// Its version, or nothing.
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    authors: Vec<String>,
    #[serde(default)]
    targets: Vec<toml::Value>,
    #[serde(default, rename = "trigger")]
    trigger_settings: IndexMap<String, toml::Table>,
    #[serde(default)]
    tool: IndexMap<String, toml::Table>,
}

/// One of `[variables]`: either `required`, or with a `default`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that exactly Spin's fields are accepted")]
pub struct Variable {
    description: Option<String>,
    #[serde(default)]
    required: bool,
    /// The value where none is given.
    pub default: Option<String>,
    #[serde(default)]
    secret: bool,
}

/// One of `[[trigger.http]]`: a route, and what answers it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTrigger {
    /// Given, or made from the component's id as Spin does.
    #[serde(default)]
    pub id: String,
    /// Which requests it answers.
    pub route: Route,
    component: Option<toml::Value>,
    static_response: Option<StaticResponse>,
    executor: Option<toml::Table>,
    components: Option<toml::Value>,
}

/// What answers a trigger's requests.
#[derive(Debug)]
pub enum Target<'a> {
    /// The component of this id.
    Component(&'a str),
    /// The host itself.
    Static(&'a StaticResponse),
}

/// A trigger's route.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Route {
    /// A pattern: `/exact`, `/prefix/...`, `/with/:name`.
    Pattern(String),
    /// `{ private = true }`: reached by other components only.
    Private(PrivateRoute),
}

/// The table form of a route.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateRoute {
    /// Must be true.
    pub private: bool,
}

/// An answer that needs no component, whatever the method.
#[derive(Debug, Default, Deserialize)]
pub struct StaticResponse {
    /// 200 where absent.
    pub status_code: Option<u16>,
    /// In the order written.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// Empty where absent.
    pub body: Option<String>,
}

/// One of `[component.<id>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that exactly Spin's fields are accepted")]
pub struct Component {
    source: Source,
    #[serde(default)]
    description: String,
    /// The component's own variables: templates over the application's.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Its environment variables.
    #[serde(default)]
    pub environment: IndexMap<String, String>,
    #[serde(default)]
    files: Vec<toml::Value>,
    #[serde(default)]
    exclude_files: Vec<String>,
    #[serde(default)]
    allowed_http_hosts: Vec<String>,
    /// Which addresses it may call: `scheme://host:port`, templates allowed.
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    sqlite_databases: Vec<String>,
    #[serde(default)]
    ai_models: Vec<String>,
    targets: Option<Vec<toml::Value>>,
    /// How it is built.
    pub build: Option<Build>,
    #[serde(default)]
    tool: IndexMap<String, toml::Table>,
    /// Whether dependencies may do what the component may.
    #[serde(default)]
    pub dependencies_inherit_configuration: bool,
    #[serde(default)]
    dependencies: IndexMap<String, Dependency>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Source {
    Local(String),
    Elsewhere(toml::Table),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Dependency {
    Local(LocalDependency),
    Component(ComponentDependency),
    /// From a registry or a URL.
    Elsewhere(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalDependency {
    path: PathBuf,
    export: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentDependency {
    component: String,
    export: Option<String>,
}

/// A dependency whose file is known.
#[derive(Debug)]
pub struct ResolvedDependency {
    /// Which imports it satisfies.
    pub name: DependencyName,
    /// Its Wasm file.
    pub path: PathBuf,
    /// The export to use instead of the one named as the import.
    pub export: Option<String>,
}

impl Manifest {
    /// Reads and checks the manifest in `path`.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| {
            format!(
                "{} is not a manifest that this host can serve",
                path.display()
            )
        })
    }

    /// Reads and checks a manifest.
    pub fn parse(text: &str) -> Result<Self> {
        let mut manifest: Self = toml::from_str(text)?;
        let version = &manifest.spin_manifest_version;
        ensure!(
            version.as_integer() == Some(2),
            "spin_manifest_version must be 2, not {version}"
        );
        manifest.take_triggers()?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The files of a component: its own, and its dependencies'. Relative to the manifest's folder.
    pub fn sources(&self, component_id: &str) -> Result<(PathBuf, Vec<ResolvedDependency>)> {
        let component = self.component(component_id)?;
        let dependencies = component
            .dependencies
            .iter()
            .map(|(name, dependency)| self.resolve(name, dependency));
        Ok((
            component.local_source()?,
            dependencies.collect::<Result<_>>()?,
        ))
    }

    fn component(&self, id: &str) -> Result<&Component> {
        self.components
            .get(id)
            .with_context(|| format!("there is no component {id:?}"))
    }

    fn resolve(&self, name: &str, dependency: &Dependency) -> Result<ResolvedDependency> {
        let (path, export) = match dependency {
            Dependency::Local(local) => (local.path.clone(), local.export.clone()),
            Dependency::Component(reference) => {
                let target = self.component(&reference.component)?;
                ensure!(
                    target.is_plain(),
                    "component {:?} cannot be a dependency: it has resources or permissions of its own",
                    reference.component
                );
                (target.local_source()?, reference.export.clone())
            }
            Dependency::Elsewhere(_) => {
                bail!("dependency {name:?} is not a local file, which this host cannot fetch")
            }
        };
        let name: DependencyName = name.parse()?;
        ensure!(
            export.is_none() || name.names_interface(),
            "dependency {name}: a whole package cannot be satisfied by one export"
        );
        Ok(ResolvedDependency { name, path, export })
    }
}

impl HttpTrigger {
    /// What answers: exactly one of a component and a static response.
    pub fn target(&self) -> Result<Target<'_>> {
        ensure!(self.components.is_none(), "`components` is reserved");
        if let Some(executor) = &self.executor {
            let kind = executor.get("type").and_then(toml::Value::as_str);
            ensure!(
                matches!(kind, Some("http" | "spin")),
                "this host has no executor {executor}"
            );
        }
        match (&self.component, &self.static_response) {
            (Some(toml::Value::String(component)), None) => Ok(Target::Component(component)),
            (Some(_), None) => {
                bail!("this host wants a component's id here, not the component itself")
            }
            (None, Some(response)) => Ok(Target::Static(response)),
            _ => bail!("exactly one of `component` and `static_response` must be given"),
        }
    }
}

impl Component {
    fn local_source(&self) -> Result<PathBuf> {
        match &self.source {
            Source::Local(path) => Ok(PathBuf::from(path)),
            Source::Elsewhere(source) => {
                bail!("source {source} is not a local file, which this host cannot fetch")
            }
        }
    }

    /// Nothing that would be lost when it is composed into another component.
    fn is_plain(&self) -> bool {
        self.variables.is_empty()
            && self.environment.is_empty()
            && self.files.is_empty()
            && self.allowed_http_hosts.is_empty()
            && self.allowed_outbound_hosts.is_empty()
            && self.key_value_stores.is_empty()
            && self.sqlite_databases.is_empty()
            && self.ai_models.is_empty()
            && self.dependencies.is_empty()
    }
}
