//! What CloudNativePG's exporter would say of a database: the queries of the manifests, run as the exporter runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use postgres::SimpleQueryMessage;
use serde::Deserialize;
use stack::workspace;

use crate::database::Database;

/// Metrics by name and label, such as `cnpg_todo_events_breakers_open{dependency="jobs"}`.
pub type Gauges = BTreeMap<String, f64>;

/// A query of `k8s/postgres/queries.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    primary: bool,
    query: String,
    metrics: Vec<BTreeMap<String, Column>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    usage: Usage,
    description: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Usage {
    Label,
    Gauge,
    Counter,
}

/// Runs every query.
///
/// # Panics
///
/// When a query fails with the rights that the exporter has, or returns other columns than are described.
pub fn read(database: &mut Database) -> Gauges {
    let path = workspace::root().join("k8s/postgres/queries.yaml");
    let queries: BTreeMap<String, Query> = match fs::read_to_string(&path)
        .map_err(anyhow::Error::from)
        .and_then(|text| Ok(serde_saphyr::from_str(&text)?))
    {
        Ok(queries) => queries,
        Err(error) => panic!("{}: {error:#}", path.display()),
    };
    queries
        .iter()
        .flat_map(|(name, query)| run(database, name, query))
        .collect()
}

fn run(database: &mut Database, name: &str, query: &Query) -> Gauges {
    // Replicas would return the same values again.
    assert!(query.primary, "{name}");
    let columns: BTreeMap<&str, &Column> = query
        .metrics
        .iter()
        .flatten()
        .map(|(name, column)| (name.as_str(), column))
        .collect();
    assert!(
        columns
            .values()
            .all(|column| !column.description.is_empty()),
        "{name}"
    );
    let mut gauges = Gauges::new();
    for row in rows(database, &query.query) {
        let seen: BTreeSet<&str> = row.keys().map(String::as_str).collect();
        assert_eq!(seen, columns.keys().copied().collect(), "{name}: {row:?}");
        let mut labels = String::new();
        for (column, value) in &row {
            if columns[column.as_str()].usage == Usage::Label {
                labels = format!("{{{column}=\"{value}\"}}");
            }
        }
        for (column, value) in &row {
            if columns[column.as_str()].usage != Usage::Label {
                let Ok(value) = value.parse() else {
                    panic!("{name}: {column} is no number: {value}");
                };
                gauges.insert(format!("cnpg_{name}_{column}{labels}"), value);
            }
        }
    }
    gauges
}

/// The rows of a query as the exporter sees them: with the rights of `pg_monitor`, in a transaction that only reads and
/// has a search path of its own.
fn rows(database: &mut Database, query: &str) -> Vec<BTreeMap<String, String>> {
    let answer = database
        .client()
        .build_transaction()
        .read_only(true)
        .start()
        .and_then(|mut transaction| {
            transaction.batch_execute(
                "SET LOCAL ROLE pg_monitor; SET LOCAL search_path = pg_catalog, public, pg_temp",
            )?;
            transaction.simple_query(query)
        });
    let messages = match answer {
        Ok(messages) => messages,
        Err(error) => panic!("{error:?}: {query}"),
    };
    let mut rows = Vec::new();
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message {
            let cells = row.columns().iter().enumerate();
            rows.push(
                cells
                    .map(|(index, column)| {
                        let value = row.get(index).unwrap_or("NULL");
                        (column.name().to_owned(), value.to_owned())
                    })
                    .collect(),
            );
        }
    }
    rows
}
