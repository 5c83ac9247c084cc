//! Which components and configuration the sidecar is given.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::folders::Folders;
use crate::workspace;

/// Folders of components, and configurations.
#[derive(Debug)]
pub(crate) struct DaprResources {
    folders: Vec<PathBuf>,
    /// A later one adds to the one before, or changes it.
    configurations: Vec<PathBuf>,
}

impl DaprResources {
    /// A laptop's: a broker without access control.
    pub(crate) fn local() -> Self {
        let dapr = workspace::root().join("dapr");
        Self {
            folders: vec![dapr.join("local")],
            configurations: vec![dapr.join("configuration.yaml")],
        }
    }

    /// The very files that are applied to a cluster. Beside them is what a cluster has: the secret
    /// store `kubernetes`, here a file of what Strimzi's operators would put there.
    pub(crate) fn kubernetes(folders: &Folders) -> Result<Self> {
        let components = workspace::root().join("k8s/dapr-components");
        let cluster = folders.state.join("dapr");
        fs::create_dir_all(&cluster)
            .with_context(|| format!("cannot make {}", cluster.display()))?;
        let secrets = serde_json::to_string(&folders.kafka_secrets())?;
        let store = format!(
            "apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: kubernetes
spec:
  type: secretstores.local.file
  version: v1
  metadata:
    - name: secretsFile
      value: {secrets}
    - name: multiValued
      value: true
"
        );
        let file = cluster.join("secret-store.yaml");
        fs::write(&file, store).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self {
            configurations: vec![components.join("configuration.yaml")],
            folders: vec![components, cluster],
        })
    }

    /// Has the sidecar send the spans of all traces to an address, as Zipkin takes them.
    pub(crate) fn send_spans(&mut self, folders: &Folders, address: &str) -> Result<()> {
        let configuration = format!(
            "apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata:
  name: todo-events
spec:
  tracing:
    samplingRate: \"1\"
    zipkin:
      endpointAddress: {address}
"
        );
        let file = folders.state.join("tracing.yaml");
        fs::write(&file, configuration)
            .with_context(|| format!("cannot write {}", file.display()))?;
        self.configurations.push(file);
        Ok(())
    }

    /// As flags of `daprd`.
    pub(crate) fn flags(&self) -> Vec<String> {
        let folders = self
            .folders
            .iter()
            .map(|folder| ("--resources-path", folder));
        let configurations = self.configurations.iter().map(|file| ("--config", file));
        folders
            .chain(configurations)
            .flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()])
            .collect()
    }
}
