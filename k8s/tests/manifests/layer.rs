//! Rendered manifests, and a way to read them that says what it could not find, and where.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;
use stack::programs::KubernetesTools;
use stack::report::Report;
use stack::workspace;

/// What renders and validates.
pub static TOOLS: LazyLock<KubernetesTools> =
    LazyLock::new(|| match KubernetesTools::prepare(&Report::silent()) {
        Ok(tools) => tools,
        Err(error) => panic!("{error:#}"),
    });

static LAYERS: LazyLock<BTreeMap<String, Layer>> = LazyLock::new(|| {
    let overlays = file("k8s/overlays");
    let mut layers = BTreeMap::new();
    for overlay in folders(&overlays) {
        for folder in folders(&overlays.join(&overlay)) {
            let name = format!("{overlay}/{folder}");
            let output = render(&overlays.join(&name));
            assert!(
                output.status.success(),
                "k8s/overlays/{name} does not render: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let objects = objects(&text, &name);
            layers.insert(
                name.clone(),
                Layer {
                    name,
                    text,
                    objects,
                },
            );
        }
    }
    layers
});

/// Runs `kustomize build`, as `kubectl apply -k` does.
pub fn render(folder: &Path) -> Output {
    run(Command::new(&TOOLS.kustomize).arg("build").arg(folder))
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {command:?}: {error}"),
    }
}

/// The path of a file of the repository.
pub fn file(path: &str) -> PathBuf {
    workspace::root().join(path)
}

/// The text of a file of the repository.
pub fn file_text(path: &str) -> String {
    match fs::read_to_string(file(path)) {
        Ok(text) => text,
        Err(error) => panic!("{path}: {error}"),
    }
}

/// The objects of a file of the repository.
pub fn objects_of(path: &str) -> Vec<Value> {
    objects(&file_text(path), path)
}

fn objects(text: &str, place: &str) -> Vec<Value> {
    match serde_saphyr::from_multiple(text) {
        Ok(objects) => objects,
        Err(error) => panic!("{place}: {error}"),
    }
}

/// The names of the folders in a folder, in order.
pub fn folders(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{} has no folders", folder.display());
    names
}

/// What one `kubectl apply -k` applies.
pub struct Layer {
    /// `<overlay>/<layer>`, such as `prod/app`.
    pub name: String,
    /// As rendered.
    pub text: String,
    objects: Vec<Value>,
}

impl Layer {
    /// All there are.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        LAYERS.values()
    }

    /// The layer of this name in all overlays that have it.
    pub fn named(layer: &str) -> impl Iterator<Item = &'static Self> {
        LAYERS
            .values()
            .filter(move |each| each.name.ends_with(&format!("/{layer}")))
    }

    /// One of an overlay.
    pub fn get(name: &str) -> &'static Self {
        match LAYERS.get(name) {
            Some(layer) => layer,
            None => panic!("there is no k8s/overlays/{name}"),
        }
    }

    /// Its overlay's layer of another name; the shim's app lies beside production's.
    pub fn beside(&self, layer: &str) -> &'static Self {
        Self::get(&self.path_beside(layer))
    }

    /// What decides how many replicas there are, where the overlay has it.
    pub fn scaling(&self) -> Option<&'static Self> {
        LAYERS.get(&self.path_beside("scaling"))
    }

    fn path_beside(&self, layer: &str) -> String {
        let overlay = self.name.split('/').next().unwrap_or_default();
        let overlay = if overlay == "shim" { "prod" } else { overlay };
        format!("{overlay}/{layer}")
    }

    /// All its objects, as they are applied.
    pub fn objects(&self) -> impl Iterator<Item = Object<'_>> {
        self.objects.iter().map(|value| Object {
            layer: &self.name,
            value,
        })
    }

    /// The objects of a kind.
    pub fn kind(&self, kind: &str) -> Vec<Object<'_>> {
        self.objects()
            .filter(|object| object.value["kind"] == kind)
            .collect()
    }

    /// The object of this kind and name.
    pub fn find(&self, kind: &str, name: &str) -> Object<'_> {
        let all = self.kind(kind);
        let names: Vec<String> = all.iter().map(Object::name).collect();
        match all.into_iter().find(|object| object.name() == name) {
            Some(object) => object,
            None => panic!("{}: no {kind} {name}, but {names:?}", self.name),
        }
    }
}

/// A manifest of a layer.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    layer: &'a str,
    /// What it says.
    pub value: &'a Value,
}

impl Object<'_> {
    /// `metadata.name`
    pub fn name(&self) -> String {
        self.text_at("/metadata/name")
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        let kind = self.value["kind"].as_str().unwrap_or_default();
        let name = self.value["metadata"]["name"].as_str().unwrap_or_default();
        format!("{}: {kind} {name}", self.layer)
    }

    /// What is at a JSON pointer.
    pub fn at(&self, pointer: &str) -> &Value {
        match self.value.pointer(pointer) {
            Some(value) => value,
            None => panic!("{} has no {pointer}", self.place()),
        }
    }

    /// The text, number or boolean at a JSON pointer, as text.
    pub fn text_at(&self, pointer: &str) -> String {
        scalar(self.at(pointer))
    }

    /// The whole number at a JSON pointer.
    pub fn number_at(&self, pointer: &str) -> u64 {
        let text = self.text_at(pointer);
        match text.parse() {
            Ok(number) => number,
            Err(_) => panic!("{}: {pointer} is {text}", self.place()),
        }
    }

    /// The list at a JSON pointer.
    pub fn list(&self, pointer: &str) -> &[Value] {
        match self.at(pointer).as_array() {
            Some(list) => list,
            None => panic!("{}: {pointer} is no list", self.place()),
        }
    }
}

/// A text, number or boolean as text.
pub fn scalar(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
