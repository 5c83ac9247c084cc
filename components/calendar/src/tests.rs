//! Examples of the rules, and properties over all zones, against a second implementation.

mod examples;
mod peer;
mod properties;
