//! What the documents say: their commands run, their links lead somewhere, the compose file is one.

mod commands;
mod compose;
mod links;
mod markdown;
mod run;
mod shell;
