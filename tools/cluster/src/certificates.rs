//! Certificates and tokens of the cluster's parts, made anew for each cluster.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::{API_ADDRESS, NODE_ADDRESS};

/// The authority, and the folder where everything is.
pub struct Certificates {
    folder: PathBuf,
    authority: Issuer<'static, KeyPair>,
    /// The authority's certificate, as PEM.
    pub authority_pem: String,
}

/// A certificate and its key, as PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Certificates {
    /// Makes the authority, the API server's and the kubelet's certificates, and the tokens of all who call the API server.
    pub fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params
            .distinguished_name
            .push(DnType::CommonName, "todo-cluster");
        let authority_pem = params.self_signed(&key)?.pem();
        fs::write(folder.join("ca.crt"), &authority_pem)?;
        fs::write(folder.join("ca.key"), key.serialize_pem())?;
        let certificates = Self {
            folder: folder.to_owned(),
            authority: Issuer::new(params, key),
            authority_pem,
        };
        let api_names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "10.96.0.1",
            NODE_ADDRESS,
        ];
        certificates.write(
            "apiserver",
            &certificates.issue("kube-apiserver", None, &api_names)?,
        )?;
        certificates.write(
            "kubelet",
            &certificates.issue("kubelet", None, &["node", NODE_ADDRESS])?,
        )?;
        let client = certificates.issue(
            "apiserver-kubelet-client",
            Some("system:masters"),
            &["localhost"],
        )?;
        certificates.write("kubelet-client", &client)?;
        // Signs the tokens of service accounts, which Kubernetes wants as RSA or ECDSA.
        let accounts = KeyPair::generate()?;
        fs::write(folder.join("accounts.key"), accounts.serialize_pem())?;
        fs::write(folder.join("accounts.pub"), accounts.public_key_pem())?;
        certificates.write_tokens()?;
        Ok(certificates)
    }

    /// A certificate of this authority for these DNS names and addresses.
    pub fn issue(&self, name: &str, group: Option<&str>, subjects: &[&str]) -> Result<Pair> {
        issue(&self.authority, name, group, subjects)
    }
    /// The path of a file made here.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, name: &str, pair: &Pair) -> Result<()> {
        fs::write(self.folder.join(format!("{name}.crt")), &pair.certificate)?;
        fs::write(self.folder.join(format!("{name}.key")), &pair.key)
            .with_context(|| format!("cannot write the key of {name}"))
    }

    fn write_tokens(&self) -> Result<()> {
        let accounts = [
            ("admin", "admin", "\"system:masters\""),
            ("controllers", "system:kube-controller-manager", ""),
            ("scheduler", "system:kube-scheduler", ""),
            ("node", "system:node:node", "\"system:nodes\""),
            ("proxy", "system:kube-proxy", ""),
            (crate::policies::ACCOUNT, crate::policies::ACCOUNT, ""),
        ];
        let mut tokens = String::new();
        for (account, user, groups) in accounts {
            let token = uuid::Uuid::now_v7().simple();
            tokens.push_str(&format!("{token},{user},{account},{groups}\n"));
            let access = format!(
                r#"apiVersion: v1
kind: Config
clusters: [{{name: cluster, cluster: {{server: "https://{API_ADDRESS}", certificate-authority: "{}"}}}}]
users: [{{name: {account}, user: {{token: "{token}"}}}}]
contexts: [{{name: cluster, context: {{cluster: cluster, user: {account}}}}}]
current-context: cluster
"#,
                self.path("ca.crt"),
            );
            fs::write(self.folder.join(format!("{account}.kubeconfig")), access)?;
            fs::write(
                self.folder.join(format!("{account}.token")),
                token.to_string(),
            )?;
        }
        fs::write(self.folder.join("tokens.csv"), tokens).context("cannot write the tokens")
    }
}

/// A certificate of an authority that is given as PEM.
pub fn issue_by(certificate: &str, key: &str, name: &str, subjects: &[&str]) -> Result<Pair> {
    let authority = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
    issue(&authority, name, None, subjects)
}

fn issue(
    authority: &Issuer<'_, KeyPair>,
    name: &str,
    group: Option<&str>,
    subjects: &[&str],
) -> Result<Pair> {
    let subjects: Vec<String> = subjects.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(subjects)?;
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}
