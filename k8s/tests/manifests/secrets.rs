//! Every Secret that is used is made by somebody, with the keys that are used.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::layer::{Layer, file_text, scalar};

/// What Strimzi's Access Operator puts into a Secret for a user with a password, as far as it is of use here.
const OF_KAFKA_ACCESS: [&str; 4] = [
    "bootstrapServers",
    "username",
    "password",
    "ssl.truststore.crt",
];

/// The names of CloudNativePG's Secrets after the cluster's, and their keys.
const OF_CLOUDNATIVE_PG: [(&str, &[&str]); 1] = [("-app", &["username", "password", "uri"])];

/// Secrets and their keys made by `kubectl create secret generic` in k8s/README.md.
fn made_by_hand() -> BTreeMap<String, BTreeSet<String>> {
    let document = file_text("k8s/README.md").replace("\\\n", " ");
    let mut made = BTreeMap::new();
    for command in document
        .lines()
        .filter(|line| line.contains("create secret generic "))
    {
        let after = command
            .split("create secret generic ")
            .nth(1)
            .unwrap_or_default();
        let mut words = after.split_whitespace();
        let name = words.next().unwrap_or_default().to_owned();
        let keys = words
            .filter_map(|word| {
                let literal = word.strip_prefix("--from-literal=");
                literal.or_else(|| word.strip_prefix("--from-file="))
            })
            .filter_map(|literal| literal.split('=').next())
            .map(str::to_owned);
        made.insert(name, keys.collect());
    }
    made
}

/// Adds each Secret that a manifest names, with the key that it takes, or none if it takes all.
fn collect(value: &Value, within: &str, used: &mut BTreeSet<(String, Option<String>)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, within, used)),
        Value::Object(fields) => {
            let named = |field: &str| fields.get(field).map(scalar);
            match within {
                "secretKeyRef" | "secretTargetRef" | "accessKeyId" | "secretAccessKey" => {
                    if let Some(name) = named("name") {
                        let optional = fields.get("optional") == Some(&Value::Bool(true));
                        used.insert((name, named("key").filter(|_| !optional)));
                    }
                }
                "secret" => {
                    if let Some(name) = named("secretName") {
                        let items = fields.get("items").and_then(Value::as_array);
                        for item in items.into_iter().flatten() {
                            used.insert((name.clone(), Some(scalar(&item["key"]))));
                        }
                        if items.is_none() {
                            used.insert((name, None));
                        }
                    }
                }
                _ => {}
            }
            for (field, value) in fields {
                // CloudNativePG issues certificates with it.
                if field == "serverCASecret" {
                    used.insert((scalar(value), Some("ca.crt".to_owned())));
                    used.insert((scalar(value), Some("ca.key".to_owned())));
                }
                // Dapr's annotations; the key is fixed.
                if field.starts_with("dapr.io/") && field.ends_with("-token-secret") {
                    used.insert((scalar(value), Some("token".to_owned())));
                }
                collect(value, field, used);
            }
        }
        _ => {}
    }
}

#[test]
fn every_secret_is_made_by_somebody() {
    let by_hand = made_by_hand();
    let mut needed = BTreeSet::new();
    for layer in Layer::all() {
        let mut used = BTreeSet::new();
        for object in layer.objects() {
            collect(object.value, "", &mut used);
        }
        if layer.name.ends_with("/app") {
            assert!(used.len() >= 8, "{}: only {used:?}", layer.name);
        }
        let mut made = by_hand.clone();
        for access in layer.kind("KafkaAccess") {
            made.insert(access.name(), OF_KAFKA_ACCESS.map(str::to_owned).into());
        }
        for cluster in layer.beside("postgres").kind("Cluster") {
            for (end, keys) in OF_CLOUDNATIVE_PG {
                let keys = keys.iter().map(|key| (*key).to_owned());
                made.insert(format!("{}{end}", cluster.name()), keys.collect());
            }
        }
        for (name, key) in used {
            let Some(keys) = made.get(&name) else {
                panic!(
                    "{}: nobody makes the Secret {name}: {:?}",
                    layer.name,
                    made.keys()
                );
            };
            if let Some(key) = key {
                assert!(
                    keys.contains(&key),
                    "{}: the Secret {name} has no {key}, but {keys:?}",
                    layer.name
                );
            }
            needed.insert(name);
        }
    }
    for name in by_hand.keys() {
        assert!(
            needed.contains(name),
            "k8s/README.md makes the Secret {name}, which nobody needs"
        );
    }
}
