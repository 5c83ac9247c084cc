//! The pages in a real browser: from a click to Kafka and back, what a page shows when parts fail, and what it never does.
//!
//! Each test tells one or several stories of `stories/`, which `run.js` runs with a browser of this machine.

mod operators_in_browser;
mod outages_in_browser;
mod safety_in_browser;
mod story;
mod users_in_browser;
