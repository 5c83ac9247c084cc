//! Makes the table of the files in `static/`: each as it is and compressed, with its type and its entity tag.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// What a file is served as, by the end of its name. A file that is none of these does not belong here.
const TYPES: [(&str, &str); 7] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("webmanifest", "application/manifest+json"),
    ("LICENSE", "text/plain; charset=utf-8"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("static");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=build.rs");
    let mut paths = Vec::new();
    collect(&root, &mut paths)?;
    // As the text that a request's path is compared with.
    paths.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));

    let mut table = String::from("pub(crate) static FILES: &[File] = &[\n");
    for (number, path) in paths.iter().enumerate() {
        let name = path
            .strip_prefix(&root)?
            .to_str()
            .ok_or("a name is not UTF-8")?;
        let content = fs::read(path)?;
        let gzip = compressed(&content)?;
        let gzip_path = out.join(format!("{number}.gz"));
        let gzip_text = if gzip.len() < content.len() {
            fs::write(&gzip_path, gzip)?;
            format!("Some(include_bytes!({gzip_path:?}))")
        } else {
            "None".to_owned()
        };
        let kind = content_type(name).ok_or_else(|| format!("{name}: of no known type"))?;
        let mut tag = String::new();
        for byte in &Sha256::digest(&content)[..12] {
            write!(tag, "{byte:02x}")?;
        }
        writeln!(
            table,
            "File {{ path: {:?}, content_type: {kind:?}, tag: {tag:?}, content: include_bytes!({path:?}), gzip: {gzip_text} }},",
            format!("/{}", name.replace('\\', "/")),
        )?;
    }
    table.push_str("];\n");
    fs::write(out.join("files.rs"), table)?;
    Ok(())
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn content_type(name: &str) -> Option<&'static str> {
    let end = name.rsplit(['.', '/']).next()?;
    let found = TYPES.iter().find(|(of, _)| *of == end)?;
    Some(found.1)
}

fn compressed(content: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}
