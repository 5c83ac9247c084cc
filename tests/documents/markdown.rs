//! The repository's documents: their code blocks, headings and links.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use stack::workspace;

/// One document.
pub struct Document {
    /// Its path in the repository.
    pub path: String,
    /// Its fenced code blocks, in order.
    pub blocks: Vec<Block>,
    /// Where its links lead, as they are written.
    pub links: Vec<String>,
    /// What a link to a heading of it may name.
    pub anchors: Vec<String>,
}

/// A fenced code block.
pub struct Block {
    /// What follows the fence: the language, then marks.
    pub info: String,
    /// The line of the fence.
    pub line: usize,
    /// What is in it.
    pub text: String,
}

impl Block {
    /// The first word of the info string.
    pub fn language(&self) -> &str {
        self.info.split(' ').next().unwrap_or_default()
    }

    /// The other words of the info string.
    pub fn marks(&self) -> impl Iterator<Item = &str> {
        self.info.split(' ').skip(1)
    }
}

impl Document {
    /// The document of this path in the repository.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(workspace::root().join(path));
        Self::parse(
            path,
            &text.unwrap_or_else(|error| panic!("{path}: {error}")),
        )
    }

    /// All documents of the repository.
    pub fn all() -> Vec<Self> {
        let documents: Vec<Self> = files(&workspace::root())
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .filter_map(|path| path.to_str().map(Self::read))
            .collect();
        assert!(documents.len() > 5, "only {} documents", documents.len());
        documents
    }

    /// A document of this text.
    pub fn parse(path: &str, text: &str) -> Self {
        let mut document = Self {
            path: path.to_owned(),
            blocks: Vec::new(),
            links: Vec::new(),
            anchors: Vec::new(),
        };
        let mut heading: Option<String> = None;
        let mut in_block = false;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    in_block = true;
                    document.blocks.push(Block {
                        info: info.into_string(),
                        line: line_of(text, &range),
                        text: String::new(),
                    });
                }
                Event::End(TagEnd::CodeBlock) => in_block = false,
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let heading = heading.take().unwrap_or_default();
                    document.anchors.push(anchor(&heading));
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    } else if let (true, Some(block)) = (in_block, document.blocks.last_mut()) {
                        block.text.push_str(&part);
                    }
                }
                _ => {}
            }
        }
        document
    }
}

fn line_of(text: &str, range: &Range<usize>) -> usize {
    text.get(..range.start).unwrap_or_default().lines().count() + 1
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// All files in a folder, as paths in it; not what is built or hidden.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, Path::new(""), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    let entries = match fs::read_dir(folder.join(below)) {
        Ok(entries) => entries,
        Err(error) => panic!("{}: {error}", below.display()),
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = below.join(&name);
        // A link to a folder is a file here: what it leads to is found where it is.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder {
            found.push(path);
        } else if name != "target" && !name.as_encoded_bytes().starts_with(b".") {
            collect(folder, &path, found);
        }
    }
}

#[test]
fn blocks_headings_and_links_are_found() {
    let document = Document::parse(
        "a.md",
        "# One `two`: three\n\n[x](b.md#c)\n\n```sh needs-cluster\nkubectl get all\n```\n\n- and\n\n  ```json\n  {}\n  ```\n",
    );
    assert_eq!(document.anchors, ["one-two-three"]);
    assert_eq!(document.links, ["b.md#c"]);
    let [first, second] = document.blocks.as_slice() else {
        panic!("{} blocks", document.blocks.len());
    };
    assert_eq!((first.language(), first.line), ("sh", 5));
    assert_eq!(first.marks().collect::<Vec<_>>(), ["needs-cluster"]);
    assert_eq!(
        (second.info.as_str(), second.text.as_str()),
        ("json", "{}\n")
    );
}
