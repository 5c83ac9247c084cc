//! What was measured, as figures for people.

use anyhow::Result;
use serde_json::{Value, json};

use super::generator::{Tally, part};
use super::turn::Record;

pub(crate) fn group(what: &str, clients: usize, due: bool) -> String {
    let due = if due { "due date" } else { "no due date" };
    let plural = if clients == 1 { "" } else { "s" };
    format!("{what}, {due}, {clients} client{plural}")
}

/// Processor time of each part and of all, for each of `units`.
pub(crate) fn per_unit(used: &[(&'static str, f64)], units: f64, unit: &str) -> Vec<(String, f64)> {
    let all = used.iter().map(|(_, seconds)| seconds).sum();
    [("all", all)]
        .into_iter()
        .chain(used.iter().copied())
        .map(|(name, seconds)| {
            (
                format!("{name} CPU ms per {unit}"),
                1000.0 * seconds / units,
            )
        })
        .collect()
}

pub(crate) fn by_name(used: &[(&'static str, f64)]) -> Value {
    used.iter()
        .map(|(name, seconds)| ((*name).to_owned(), json!(seconds)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(crate) fn probe(group: &str, result: Value, answered: &str, seen: &str) -> Result<Record> {
    let answer: Tally = part(&result, answered)?;
    let end: Tally = part(&result, seen)?;
    Ok(Record {
        group: group.to_owned(),
        figures: vec![
            ("p50 ms".to_owned(), end.p50_ms),
            ("p99 ms".to_owned(), end.p99_ms),
            ("answer p50 ms".to_owned(), answer.p50_ms),
            ("answer p99 ms".to_owned(), answer.p99_ms),
        ],
        detail: result,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few minutes")]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_divided_among_the_creates() {
        let used = [("app", 2.0), ("Postgres", 1.0)];
        let figures = per_unit(&used, 1000.0, "create");
        let expected = [("all", 3.0), ("app", 2.0), ("Postgres", 1.0)];
        for ((name, value), (part, expected)) in figures.iter().zip(expected) {
            assert_eq!(name, &format!("{part} CPU ms per create"));
            assert!((value - expected).abs() < 1e-9, "{name} {value}");
        }
    }

    #[test]
    fn the_name_of_a_group_says_its_load() {
        assert_eq!(group("create", 1, true), "create, due date, 1 client");
        assert_eq!(
            group("create", 16, false),
            "create, no due date, 16 clients"
        );
    }
}
