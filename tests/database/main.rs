//! What the functions of the database promise, tried on databases of the tests' own: that the files say what is released,
//! that no wake-up is lost, and that every event appears, in order, whatever becomes of those who publish.

mod batch;
mod breakers;
mod changes;
mod downs;
mod functions;
mod hammer;
mod lanes;
mod most_tasks;
mod operator;
mod partitions;
mod rules;
mod scratch_database;
mod size;
mod watch;
