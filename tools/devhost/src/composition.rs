//! Joins a component with its dependencies, as Spin does when it loads an application.
//!
//! A dependency that does not inherit the component's configuration must not reach what that configuration opens. Its
//! imports of such interfaces are moved to a package of their own, where the host answers every call with a trap.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use semver::Version;
use wac_graph::types::{ItemKind, Package, SubtypeChecker, WorldId};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

/// The package that denied imports are moved to.
pub const DENIED_PACKAGE: &str = "devhost:denied/";

/// Interfaces that a component's configuration opens: those that Spin 4.0 denies. (Spin 3.6 denies fewer, and only at
/// version 0.2.0; a component that must run on both may call none of them.)
const DENIED: [&str; 8] = [
    "wasi:cli/environment",
    "wasi:filesystem/preopens",
    "wasi:http/outgoing-handler",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/tcp",
    "wasi:sockets/udp-create-socket",
    "wasi:sockets/udp",
];

/// Packages of which every interface is denied.
const DENIED_PACKAGES: [&str; 4] = ["fermyon:spin/", "spin:", "wasi:keyvalue/", "wasi:config/"];

/// The name under which a manifest lists a dependency: a whole package (`todo:calendar`, `todo:calendar@1.0.0`), one
/// interface of it (`todo:calendar/calendar@1.0.0`), or a plain import (`calendar`).
#[derive(Clone, Debug, PartialEq)]
pub struct DependencyName {
    package: String,
    interface: Option<String>,
    version: Option<Version>,
}

/// A dependency ready to be joined.
pub struct DependencySource {
    /// Which imports it satisfies.
    pub name: DependencyName,
    /// The component.
    pub wasm: Vec<u8>,
    /// The export to use instead of the one named as the import.
    pub export: Option<String>,
}

/// Joins `wasm`, the component `id`, with its dependencies into one component. `inherit` lets them do what it may.
pub fn compose(
    id: &str,
    wasm: Vec<u8>,
    dependencies: Vec<DependencySource>,
    inherit: bool,
) -> Result<Vec<u8>> {
    if dependencies.is_empty() {
        return Ok(wasm);
    }
    let mut graph = CompositionGraph::new();
    let (world, instance) = instantiate(&mut graph, id, wasm)?;
    let imports: Vec<String> = graph.types()[world].imports.keys().cloned().collect();
    let mut satisfied: BTreeMap<String, (DependencyName, NodeId)> = BTreeMap::new();
    let mut denied = BTreeMap::new();
    for dependency in dependencies {
        let name = dependency.name;
        let matching: Vec<&String> = imports
            .iter()
            .filter(|import| name.satisfies(import))
            .collect();
        ensure!(
            !matching.is_empty(),
            "dependency {name} matches no import of component {id:?}"
        );
        let (exporter_world, exporter) = instantiate(&mut graph, &name.package, dependency.wasm)?;
        if !inherit {
            deny(&mut graph, exporter_world, exporter, &mut denied)?;
        }
        for import in matching {
            let export = dependency.export.as_ref().unwrap_or(import);
            check_type(&graph, (exporter_world, export), (world, import))
                .with_context(|| format!("dependency {name} cannot satisfy import {import}"))?;
            let alias = graph.alias_instance_export(exporter, export)?;
            if let Some((other, _)) = satisfied.insert(import.clone(), (name.clone(), alias)) {
                anyhow::bail!("import {import} is satisfied by both {other} and {name}");
            }
        }
    }
    for (import, (_, alias)) in satisfied {
        graph.set_instantiation_argument(instance, &import, alias)?;
    }
    let exports: Vec<String> = graph.types()[world].exports.keys().cloned().collect();
    for export in exports {
        let alias = graph.alias_instance_export(instance, &export)?;
        graph.export(alias, export)?;
    }
    Ok(graph.encode(EncodeOptions::default())?)
}

fn instantiate(
    graph: &mut CompositionGraph,
    name: &str,
    wasm: Vec<u8>,
) -> Result<(WorldId, NodeId)> {
    let package = Package::from_bytes(name, None, wasm, graph.types_mut())?;
    let world = package.ty();
    let package = graph.register_package(package)?;
    Ok((world, graph.instantiate(package)))
}

fn check_type(
    graph: &CompositionGraph,
    export: (WorldId, &str),
    import: (WorldId, &str),
) -> Result<()> {
    let types = graph.types();
    let exported = types[export.0]
        .exports
        .get(export.1)
        .with_context(|| format!("it does not export {}", export.1))?;
    let imported = types[import.0]
        .imports
        .get(import.1)
        .context("no such import")?;
    SubtypeChecker::new(&mut Default::default()).is_subtype(*exported, types, *imported, types)
}

/// Moves the imports that `instance` must not have to [`DENIED_PACKAGE`]. `moved` keeps those of other dependencies.
fn deny(
    graph: &mut CompositionGraph,
    world: WorldId,
    instance: NodeId,
    moved: &mut BTreeMap<String, NodeId>,
) -> Result<()> {
    let imports: Vec<_> = graph.types()[world]
        .imports
        .iter()
        .map(|(name, kind)| (name.clone(), *kind))
        .collect();
    for (import, kind) in imports.into_iter().filter(|(import, _)| is_denied(import)) {
        let name = denied_name(&import);
        let node = match moved.get(&name) {
            Some(node) => *node,
            None => {
                let kind = renamed(graph, kind, &name);
                graph.import(name.clone(), kind)?
            }
        };
        moved.insert(name, node);
        graph.set_instantiation_argument(instance, &import, node)?;
    }
    Ok(())
}

/// The same interface under another name: imports are told apart by the name in their type.
fn renamed(graph: &mut CompositionGraph, kind: ItemKind, name: &str) -> ItemKind {
    let ItemKind::Instance(id) = kind else {
        return kind;
    };
    let mut interface = graph.types()[id].clone();
    interface.id = Some(name.to_owned());
    ItemKind::Instance(graph.types_mut().add_interface(interface))
}

fn is_denied(import: &str) -> bool {
    let interface = import
        .split_once('@')
        .map_or(import, |(interface, _)| interface);
    DENIED.contains(&interface)
        || DENIED_PACKAGES
            .iter()
            .any(|package| interface.starts_with(package))
}

/// `wasi:cli/environment@0.2.6` → `devhost:denied/wasi-cli-environment@0.2.6`.
fn denied_name(import: &str) -> String {
    let (interface, version) = import
        .split_once('@')
        .map_or((import, None), |(name, version)| (name, Some(version)));
    let interface = interface.replace([':', '/'], "-");
    version.map_or_else(
        || format!("{DENIED_PACKAGE}{interface}"),
        |version| format!("{DENIED_PACKAGE}{interface}@{version}"),
    )
}

impl DependencyName {
    /// Whether it names one interface, or a plain import, rather than a whole package.
    pub fn names_interface(&self) -> bool {
        self.interface.is_some() || !self.package.contains(':')
    }

    /// Whether two names could satisfy the same import, or different but compatible versions of it.
    pub fn overlaps(&self, other: &Self) -> bool {
        let differ =
            |a: &Option<String>, b: &Option<String>| matches!((a, b), (Some(a), Some(b)) if a != b);
        let incompatible = matches!(
            (&self.version, &other.version),
            (Some(a), Some(b)) if compatible_range(a) != compatible_range(b)
        );
        self.package.contains(':')
            && self.package == other.package
            && !incompatible
            && !differ(&self.interface, &other.interface)
    }

    fn satisfies(&self, import: &str) -> bool {
        let Ok(import) = import.parse::<Self>() else {
            return false;
        };
        self.package == import.package
            && (self.interface.is_none() || self.interface == import.interface)
            && (self.version.is_none() || self.version == import.version)
    }
}

/// The part of a version that must be equal for two versions to be compatible.
fn compatible_range(version: &Version) -> String {
    match version {
        Version { pre, .. } if !pre.is_empty() => version.to_string(),
        Version {
            major: 0,
            minor: 0,
            patch,
            ..
        } => format!("0.0.{patch}"),
        Version {
            major: 0, minor, ..
        } => format!("0.{minor}"),
        Version { major, .. } => major.to_string(),
    }
}

impl FromStr for DependencyName {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (
                path,
                Some(version.parse().with_context(|| format!("{name:?}"))?),
            ),
            None => (name, None),
        };
        let (package, interface) = match path.split_once('/') {
            Some((package, interface)) => (package, Some(interface.to_owned())),
            None => (path, None),
        };
        ensure!(!package.is_empty(), "{name:?} names no package");
        Ok(Self {
            package: package.to_owned(),
            interface,
            version,
        })
    }
}

impl fmt::Display for DependencyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.package)?;
        if let Some(interface) = &self.interface {
            write!(f, "/{interface}")?;
        }
        if let Some(version) = &self.version {
            write!(f, "@{version}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> DependencyName {
        name.parse().unwrap()
    }

    #[test]
    fn dependency_names_match_imports() {
        for (dependency, import, matches) in [
            ("todo:calendar", "todo:calendar/calendar@1.0.0", true),
            ("todo:calendar", "todo:calendar/calendar", true),
            ("todo:calendar@1.0.0", "todo:calendar/calendar@1.0.0", true),
            ("todo:calendar@1.0.0", "todo:calendar/calendar@1.0.1", false),
            ("todo:calendar@1.0.0", "todo:calendar/calendar", false),
            (
                "todo:calendar/calendar",
                "todo:calendar/calendar@2.0.0",
                true,
            ),
            ("todo:calendar/other", "todo:calendar/calendar@1.0.0", false),
            ("todo:cal", "todo:calendar/calendar@1.0.0", false),
            ("plain", "plain", true),
        ] {
            assert_eq!(
                name(dependency).satisfies(import),
                matches,
                "{dependency} {import}"
            );
        }
    }

    #[test]
    fn overlapping_dependency_names_conflict() {
        for (a, b, overlap) in [
            ("foo:bar@0.1.0", "foo:bar@0.1.1", true),
            ("foo:bar@0.1.0", "foo:bar@0.2.0", false),
            ("foo:bar@1.0.0", "foo:bar@1.9.0", true),
            ("foo:bar", "foo:bar@0.1.0", true),
            ("foo:bar/a", "foo:bar/b", false),
            ("foo:bar/a", "foo:bar", true),
            ("foo:bar", "foo:baz", false),
        ] {
            assert_eq!(name(a).overlaps(&name(b)), overlap, "{a} {b}");
        }
    }

    #[test]
    fn configured_interfaces_are_denied() {
        for (import, denied) in [
            ("wasi:cli/environment@0.2.6", true),
            ("wasi:http/outgoing-handler@0.2.0", true),
            ("spin:postgres/postgres@4.0.0", true),
            ("fermyon:spin/variables@2.0.0", true),
            ("wasi:cli/stdout@0.2.6", false),
            ("wasi:clocks/wall-clock@0.2.0", false),
            ("wasi:filesystem/types@0.2.0", false),
            ("todo:calendar/calendar@1.0.0", false),
        ] {
            assert_eq!(is_denied(import), denied, "{import}");
        }
        assert_eq!(
            denied_name("wasi:cli/environment@0.2.6"),
            "devhost:denied/wasi-cli-environment@0.2.6"
        );
    }
}
