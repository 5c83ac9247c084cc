//! The promises of the database functions, tried on databases made for these tests: the files have the released text,
//! no lane is forgotten, and every event appears in order, whatever happens to publishers.

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
