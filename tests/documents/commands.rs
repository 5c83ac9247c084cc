//! Every command in a document runs in a test, or its block says what it needs that a test does not have.

use crate::markdown::{Block, Document};
use crate::run::RUN;

/// What a block may need that no test has: a Kubernetes cluster with its `kubectl`, or an engine that runs containers.
const MARKS: [&str; 2] = ["needs-cluster", "needs-containers"];

/// What else a block may hold. `text output` is what the block before it prints.
const OTHER_LANGUAGES: [&str; 10] = [
    "json",
    "mermaid",
    "promql",
    "rust",
    "sql",
    "text",
    "toml",
    "yaml",
    "ini",
    "properties",
];

/// This command runs the tests, this one included, so CI runs it.
const TESTS: &str = "cargo xtask test";

/// Whether the block is to be run here.
pub fn runs_here(block: &Block) -> bool {
    block.language() == "sh" && block.marks().next().is_none() && block.text.trim() != TESTS
}

#[test]
fn every_command_is_run_or_marked() {
    for document in Document::all() {
        for block in &document.blocks {
            let place = format!("{}:{}", document.path, block.line);
            if block.language() != "sh" {
                assert!(
                    OTHER_LANGUAGES.contains(&block.language()),
                    "{place}: {:?}; commands are in blocks of `sh`",
                    block.info
                );
                continue;
            }
            for mark in block.marks() {
                assert!(
                    MARKS.contains(&mark),
                    "{place}: {mark} is none of {MARKS:?}"
                );
            }
            assert!(
                !runs_here(block) || RUN.contains(&document.path.as_str()),
                "{place}: no test runs this, and it is marked as none of {MARKS:?}:\n{}",
                block.text
            );
        }
    }
    for path in RUN {
        let document = Document::read(path);
        assert!(
            document.blocks.iter().any(runs_here),
            "{path} holds no commands to run"
        );
    }
}
