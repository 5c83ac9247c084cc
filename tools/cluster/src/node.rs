//! The control plane and the node: processes, each with a log file of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use stack::process;

use crate::certificates::Certificates;
use crate::isolation::CONTROL_GROUP;
use crate::kubectl::Kubectl;
use crate::programs::Programs;
use crate::{API_ADDRESS, NODE_ADDRESS, POD_ADDRESSES};

const ETCD: &str = "http://127.0.0.1:2379";

/// How long a part of the cluster may take to be ready.
const READY: Duration = Duration::from_secs(120);

/// The running cluster.
pub struct Node {
    folder: PathBuf,
    containerd: PathBuf,
    parts: Vec<(&'static str, Child)>,
}

impl Node {
    /// Starts everything and waits until the node is ready.
    pub fn start(
        folder: &Path,
        programs: &Programs,
        certificates: &Certificates,
        kubectl: &Kubectl,
    ) -> Result<Self> {
        let mut node = Self {
            folder: folder.to_owned(),
            containerd: folder.join("containerd.sock"),
            parts: Vec::new(),
        };
        node.start_control_plane(programs, certificates, kubectl)?;
        node.start_containerd()?;
        node.start_kubelet(programs, certificates)?;
        kubectl.run(&["wait", "--for=create", "node/node", "--timeout=120s"])?;
        kubectl.run(&[
            "wait",
            "--for=condition=Ready",
            "node/node",
            "--timeout=120s",
        ])?;
        Ok(node)
    }

    fn start_control_plane(
        &mut self,
        programs: &Programs,
        certificates: &Certificates,
        kubectl: &Kubectl,
    ) -> Result<()> {
        let path = |name: &str| certificates.path(name);
        let kubernetes = &programs.kubernetes;
        let data = self.folder.join("etcd").display().to_string();
        self.spawn(
            "etcd",
            kubernetes,
            &[
                "etcd",
                "--data-dir",
                &data,
                "--listen-client-urls",
                ETCD,
                "--advertise-client-urls",
                ETCD,
                "--unsafe-no-fsync",
                "--log-level",
                "warn",
            ],
        )?;
        let (address, port) = API_ADDRESS
            .split_once(':')
            .context("an address has a port")?;
        self.spawn(
            "apiserver",
            kubernetes,
            &[
                "apiserver",
                "--etcd-servers",
                ETCD,
                "--bind-address",
                address,
                "--advertise-address",
                address,
                "--secure-port",
                port,
                "--tls-cert-file",
                &path("apiserver.crt"),
                "--tls-private-key-file",
                &path("apiserver.key"),
                "--client-ca-file",
                &path("ca.crt"),
                "--token-auth-file",
                &path("tokens.csv"),
                "--authorization-mode",
                "Node,RBAC",
                "--enable-admission-plugins",
                "NodeRestriction",
                "--service-cluster-ip-range",
                "10.96.0.0/16",
                "--allow-privileged=true",
                "--service-account-issuer",
                "https://kubernetes.default.svc.cluster.local",
                "--service-account-signing-key-file",
                &path("accounts.key"),
                "--service-account-key-file",
                &path("accounts.pub"),
                "--kubelet-client-certificate",
                &path("kubelet-client.crt"),
                "--kubelet-client-key",
                &path("kubelet-client.key"),
                "--kubelet-certificate-authority",
                &path("ca.crt"),
                "--kubelet-preferred-address-types",
                "InternalIP",
            ],
        )?;
        self.until_ready("apiserver", |_| {
            kubectl.read(&["get", "--raw", "/readyz"]).is_ok()
        })?;
        let access = path("controllers.kubeconfig");
        self.spawn(
            "controllers",
            kubernetes,
            &[
                "controllers",
                "--kubeconfig",
                &access,
                "--authentication-kubeconfig",
                &access,
                "--authorization-kubeconfig",
                &access,
                "--service-account-private-key-file",
                &path("accounts.key"),
                "--root-ca-file",
                &path("ca.crt"),
                "--use-service-account-credentials",
                "--bind-address",
                "127.0.0.1",
                "--leader-elect=false",
                "--cluster-signing-cert-file",
                &path("ca.crt"),
                "--cluster-signing-key-file",
                &path("ca.key"),
                "--allocate-node-cidrs=true",
                "--cluster-cidr",
                POD_ADDRESSES,
            ],
        )?;
        let access = path("scheduler.kubeconfig");
        self.spawn(
            "scheduler",
            kubernetes,
            &[
                "scheduler",
                "--kubeconfig",
                &access,
                "--authentication-kubeconfig",
                &access,
                "--authorization-kubeconfig",
                &access,
                "--bind-address",
                "127.0.0.1",
                "--leader-elect=false",
            ],
        )
    }

    fn start_containerd(&mut self) -> Result<()> {
        let folder = self.folder.display();
        let settings = format!(
            r#"version = 2
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Where even root may not lower it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
"#,
            socket = self.containerd.display()
        );
        let file = self.folder.join("containerd.toml");
        fs::write(&file, settings)?;
        fs::create_dir_all(self.folder.join("cni"))?;
        fs::write(
            self.folder.join("cni/10-cluster.conflist"),
            include_str!("../resources/network.conflist"),
        )?;
        self.spawn(
            "containerd",
            Path::new("containerd"),
            &["--config", &file.display().to_string()],
        )?;
        self.until_ready("containerd", |node| node.containers(&["version"]).is_ok())
    }

    fn start_kubelet(&mut self, programs: &Programs, certificates: &Certificates) -> Result<()> {
        let folder = self.folder.display();
        // Pods ask CoreDNS, which asks nobody else.
        fs::write(self.folder.join("resolv.conf"), "nameserver 127.0.0.1\n")?;
        let settings = format!(
            r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {NODE_ADDRESS}
healthzBindAddress: 127.0.0.1
readOnlyPort: 0
containerRuntimeEndpoint: unix://{socket}
cgroupDriver: cgroupfs
cgroupRoot: /{CONTROL_GROUP}
failSwapOn: false
failCgroupV1: false
enforceNodeAllocatable: []
podLogsDir: {folder}/pods
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: "{authority}"}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: {folder}/resolv.conf
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
syncFrequency: 10s
"#,
            socket = self.containerd.display(),
            authority = certificates.path("ca.crt"),
            certificate = certificates.path("kubelet.crt"),
            key = certificates.path("kubelet.key")
        );
        let file = self.folder.join("kubelet.yaml");
        fs::write(&file, settings)?;
        self.spawn(
            "kubelet",
            &programs.kubernetes,
            &[
                "kubelet",
                "--config",
                &file.display().to_string(),
                "--kubeconfig",
                &certificates.path("node.kubeconfig"),
                "--hostname-override",
                "node",
                "--node-ip",
                NODE_ADDRESS,
                "--root-dir",
                &self.folder.join("kubelet").display().to_string(),
                "--cert-dir",
                &self
                    .folder
                    .join("kubelet-certificates")
                    .display()
                    .to_string(),
            ],
        )?;
        let settings = format!(
            r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: "{}"}}
mode: iptables
clusterCIDR: {POD_ADDRESSES}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
hostnameOverride: node
conntrack: {{maxPerCore: 0, min: 0}}
"#,
            certificates.path("proxy.kubeconfig")
        );
        let file = self.folder.join("proxy.yaml");
        fs::write(&file, settings)?;
        self.spawn(
            "proxy",
            &programs.kubernetes,
            &["proxy", "--config", &file.display().to_string()],
        )
    }

    /// Starts a program that belongs to the cluster and ends with it.
    pub fn spawn(&mut self, name: &'static str, program: &Path, arguments: &[&str]) -> Result<()> {
        let log = File::create(self.log(name))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command.current_dir(&self.folder);
        self.parts
            .push((name, process::spawn(command, Signal::KILL)?));
        Ok(())
    }

    /// Where a part writes its log.
    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Makes an image known to the node.
    pub fn import(&self, image: &Path) -> Result<()> {
        let image = image.display().to_string();
        self.containers(&["image", "import", &image])
            .map(drop)
            .with_context(|| format!("cannot import {image}"))
    }

    fn containers(&self, arguments: &[&str]) -> Result<String> {
        let mut ctr = Command::new("ctr");
        ctr.args([
            "--address",
            &self.containerd.display().to_string(),
            "--namespace",
            "k8s.io",
        ])
        .args(arguments);
        process::read(ctr, Duration::from_secs(120))
    }

    /// Waits until a part is ready, as long as no part has ended.
    pub fn until_ready(&mut self, part: &str, is_ready: impl Fn(&Self) -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_ready(self) {
            self.check()?;
            if began.elapsed() > READY {
                bail!(
                    "{part} was not ready within {} s; its log is {}",
                    READY.as_secs(),
                    self.log(part).display()
                );
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Fails when a part has ended by itself.
    fn check(&mut self) -> Result<()> {
        for (name, child) in &mut self.parts {
            if let Some(status) = child.try_wait()? {
                bail!(
                    "{name} has ended ({status}); its log is {}",
                    self.folder.join(format!("{name}.log")).display()
                );
            }
        }
        Ok(())
    }

    /// Memory that each part has resident, in MiB.
    pub fn memory(&self) -> Vec<(&'static str, u64)> {
        self.parts
            .iter()
            .map(|(name, child)| (*name, resident_mib(child.id())))
            .collect()
    }
}

/// The image that holds a pod's network; containerd asks for it by this name.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10";

fn resident_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
