//! The results for people: of each figure the median of all rounds, and how this service compares.

use std::fmt::Write;

use super::turn::Record;

/// A table in Markdown. The first label is this service; with a second one there are ratios.
pub(crate) fn render(records: &[(String, Record)], labels: &[&str]) -> String {
    let mut rows = vec![header(labels)];
    for group in in_order(records.iter().map(|(_, record)| record.group.as_str())) {
        let of_group = || {
            records
                .iter()
                .filter(move |(_, record)| record.group == group)
        };
        rows.push(vec![format!("**{group}**")]);
        let names =
            of_group().flat_map(|(_, record)| record.figures.iter().map(|(name, _)| name.as_str()));
        for name in in_order(names) {
            let medians: Vec<Option<f64>> = labels
                .iter()
                .map(|label| {
                    let mut values: Vec<f64> = of_group()
                        .filter(|(found, _)| found == label)
                        .flat_map(|(_, record)| &record.figures)
                        .filter(|(found, _)| found == name)
                        .map(|(_, value)| *value)
                        .collect();
                    median(&mut values)
                })
                .collect();
            let mut row = vec![name.to_owned()];
            row.extend(
                medians
                    .iter()
                    .map(|value| value.map_or_else(|| "–".to_owned(), number)),
            );
            if let [ours, theirs] = medians.as_slice() {
                row.push(ratio(*ours, *theirs));
            }
            rows.push(row);
        }
    }
    align(&rows, labels.len() + if labels.len() == 2 { 2 } else { 1 })
}

fn header(labels: &[&str]) -> Vec<String> {
    let mut row = vec![String::new()];
    row.extend(labels.iter().map(|label| (*label).to_owned()));
    if labels.len() == 2 {
        row.push("ratio".to_owned());
    }
    row
}

/// Each once, in the order of their first appearance.
fn in_order<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// The middle one, or the mean of the middle two. Sorts them.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get(middle.checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

/// Three significant digits.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}×", ours / theirs),
        _ => String::new(),
    }
}

fn align(rows: &[Vec<String>], columns: usize) -> String {
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let widest = rows.iter().map(|row| cell(row, column).chars().count());
            widest.max().unwrap_or_default().max(3)
        })
        .collect();
    let mut table = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let text = cell(row, column);
            // Writing to memory does not fail.
            let _ = if column == 0 {
                write!(table, "| {text:<width$} ")
            } else {
                write!(table, "| {text:>width$} ")
            };
        }
        table.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let end = if column == 0 { "-" } else { ":" };
                let _ = write!(table, "| {}{end} ", "-".repeat(width - 1));
            }
            table.push_str("|\n");
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn record(label: &str, group: &str, figures: &[(&str, f64)]) -> (String, Record) {
        let record = Record {
            group: group.to_owned(),
            figures: figures
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
            detail: Value::Null,
        };
        (label.to_owned(), record)
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_table_compares_medians() {
        let records = [
            record(
                "ours",
                "create",
                &[("accepted/s", 100.0), ("p99 ms", 12.34)],
            ),
            record("theirs", "create", &[("accepted/s", 400.0)]),
            record(
                "ours",
                "create",
                &[("accepted/s", 300.0), ("p99 ms", 12.34)],
            ),
            record("ours", "drain", &[("seconds", 1.5)]),
        ];
        let expected = "\
|            | ours | theirs | ratio |
| ---------- | ---: | -----: | ----: |
| **create** |      |        |       |
| accepted/s |  200 |    400 | 0.50× |
| p99 ms     | 12.3 |      – |       |
| **drain**  |      |        |       |
| seconds    | 1.50 |      – |       |
";
        assert_eq!(render(&records, &["ours", "theirs"]), expected);
    }

    #[test]
    fn a_table_of_one_server_has_no_ratios() {
        let records = [record("ours", "create", &[("errors", 0.0)])];
        let table = render(&records, &["ours"]);
        assert!(table.contains("| errors     |    0 |\n"), "{table}");
        assert!(!table.contains("ratio"), "{table}");
    }
}
