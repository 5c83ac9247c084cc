//! Images made of programs on this machine: one layer each, with the libraries that the programs ask for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use stack::process;

/// What an image holds and runs.
pub struct Image {
    /// The name by which pods ask for it, with its tag.
    pub name: String,
    entry: Vec<String>,
    files: Vec<(PathBuf, String)>,
    scripts: Vec<(String, String)>,
    user: &'static str,
}

impl Image {
    /// An image whose pods run `entry`, as an ordinary user unless told otherwise.
    pub fn new(name: impl Into<String>, entry: &[&str]) -> Self {
        Self {
            name: name.into(),
            entry: entry.iter().map(|word| (*word).to_owned()).collect(),
            files: Vec::new(),
            scripts: Vec::new(),
            user: "65532:65532",
        }
    }

    pub fn root(mut self) -> Self {
        self.user = "0:0";
        self
    }

    /// A file or a folder of this machine, with the libraries that programs in it ask for.
    pub fn with(mut self, source: &Path, place: &str) -> Self {
        self.files.push((source.to_owned(), place.to_owned()));
        self
    }

    /// A script for `sh`, which is put in too.
    pub fn script(mut self, place: &str, text: &str) -> Self {
        self.scripts
            .push((place.to_owned(), format!("#!/bin/sh\n{text}")));
        self
    }

    /// Writes the image as an OCI layout (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>) in a
    /// tar file, which containerd imports.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let layer = self
            .layer(folder)
            .with_context(|| format!("cannot make the image {}", self.name))?;
        let layer_digest = digest(&layer)?;
        let layer_size = layer.metadata()?.len();
        let config = serde_json::to_vec(&json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {"User": self.user, "Entrypoint": self.entry, "Env": ["PATH=/bin:/usr/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("application/vnd.oci.image.config.v1+json", &config),
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": format!("sha256:{layer_digest}"),
                "size": layer_size,
            }],
        }))?;
        let mut entry = blob("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = json!({"io.containerd.image.name": self.name});
        let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [entry]}))?;

        let path = folder.join(format!("{}.tar", self.name.replace(['/', ':'], "_")));
        let mut archive = tar::Builder::new(File::create(&path)?);
        add(
            &mut archive,
            "oci-layout",
            0o644,
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        add(&mut archive, "index.json", 0o644, &index)?;
        for content in [&config, &manifest] {
            add(
                &mut archive,
                &format!("blobs/sha256/{}", hex(&Sha256::digest(content))),
                0o644,
                content,
            )?;
        }
        archive.append_file(
            format!("blobs/sha256/{layer_digest}"),
            &mut File::open(layer_path(folder))?,
        )?;
        archive.finish()?;
        Ok(path)
    }

    fn layer(&self, folder: &Path) -> Result<File> {
        let mut archive = tar::Builder::new(File::create(layer_path(folder))?);
        archive.follow_symlinks(true);
        // containerd does not read archives with holes.
        archive.sparse(false);
        archive.mode(tar::HeaderMode::Deterministic);
        for (place, mode) in [
            ("tmp", 0o1777),
            ("etc", 0o755),
            ("proc", 0o755),
            ("dev", 0o755),
            ("sys", 0o755),
            ("root", 0o755),
            ("data", 0o1777),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(mode);
            header.set_size(0);
            archive.append_data(&mut header, format!("{place}/"), &[][..])?;
        }
        add(
            &mut archive,
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnonroot:x:65532:65532::/tmp:/bin/sh\n",
        )?;
        add(
            &mut archive,
            "etc/group",
            0o644,
            b"root:x:0:\nnonroot:x:65532:\n",
        )?;
        let mut libraries = BTreeSet::new();
        for (source, place) in &self.files {
            let place = place.trim_start_matches('/');
            if source.is_dir() {
                archive.append_dir_all(place, source)?;
            } else {
                archive.append_path_with_name(source, place)?;
            }
            libraries_of(source, &mut libraries)?;
        }
        if !self.scripts.is_empty() {
            let shell = Path::new("/bin/sh").canonicalize()?;
            archive.append_path_with_name(&shell, "bin/sh")?;
            libraries_of(&shell, &mut libraries)?;
        }
        for (place, text) in &self.scripts {
            add(
                &mut archive,
                place.trim_start_matches('/'),
                0o755,
                text.as_bytes(),
            )?;
        }
        for library in &libraries {
            archive.append_path_with_name(library, library.strip_prefix("/")?)?;
        }
        archive.into_inner()?.sync_data()?;
        Ok(File::open(layer_path(folder))?)
    }
}

fn layer_path(folder: &Path) -> PathBuf {
    folder.join("layer.tar")
}

/// Libraries by their full paths, and the loader, of a program or of all that a folder holds. What is linked statically has
/// none.
fn libraries_of(source: &Path, libraries: &mut BTreeSet<PathBuf>) -> Result<()> {
    if source.is_dir() {
        for entry in source.read_dir()? {
            libraries_of(&entry?.path(), libraries)?;
        }
        return Ok(());
    }
    let mut start = [0; 4];
    let is_program =
        File::open(source).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
    if is_program.is_err() || start != *b"\x7fELF" {
        return Ok(());
    }
    let mut ldd = Command::new("ldd");
    ldd.arg(source);
    let printed = process::capture(ldd, Duration::from_secs(20))?;
    for line in String::from_utf8_lossy(&printed.stdout).lines() {
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        // A library that comes along in the folder is found there.
        if let Some(path) = path.filter(|path| {
            path.starts_with("/lib")
                || path.starts_with("/usr/lib/x86_64")
                || path.starts_with("/usr/lib/aarch64")
        }) {
            libraries.insert(PathBuf::from(path));
        }
    }
    Ok(())
}

fn blob(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", hex(&Sha256::digest(content))), "size": content.len()})
}

fn digest(mut file: &File) -> Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer)?;
        if read == 0 {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(&buffer[..read]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add<W: Write>(
    archive: &mut tar::Builder<W>,
    place: &str,
    mode: u32,
    content: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    archive
        .append_data(&mut header, place, content)
        .context("cannot write an archive")
}
