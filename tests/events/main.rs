//! What happens to a change after its answer: the events on both topics, and what handlers make of them, once for each
//! change, however often its event is delivered.

mod appearance;
mod hole;
mod malformed;
mod next_instance;
mod nothing_loops;
mod once;
mod parallel;
mod relay;
