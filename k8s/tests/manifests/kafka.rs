//! Topics, groups, users and addresses of Kafka are the same wherever they are named.

use std::collections::BTreeSet;

use serde_json::Value;
use stack::endpoints::{DEAD_LETTERS_TOPIC, REMINDERS_TOPIC, TASKS_TOPIC};

use crate::layer::{Layer, Object, file_text, scalar};
use crate::settings::default;
use crate::settings::pools;

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// The groups of Dapr's Kafka components.
fn groups(app: &Layer) -> BTreeSet<String> {
    app.kind("Component")
        .iter()
        .flat_map(|component| component.list("/spec/metadata"))
        .filter(|setting| setting["name"] == "consumerGroup")
        .map(|setting| scalar(&setting["value"]))
        .collect()
}

/// The topics or groups that a user may do something with.
fn allowed(user: &Object, kind: &str, operation: &str) -> BTreeSet<String> {
    user.list("/spec/authorization/acls")
        .iter()
        .filter(|acl| acl["resource"]["type"] == kind)
        .filter(|acl| {
            acl["operations"]
                .as_array()
                .is_some_and(|all| all.contains(&operation.into()))
        })
        .map(|acl| scalar(&acl["resource"]["name"]))
        .collect()
}

/// Group and topic of each trigger.
fn triggers(scaled: &Object) -> BTreeSet<(String, String)> {
    scaled
        .list("/spec/triggers")
        .iter()
        .filter(|trigger| trigger["type"] == "kafka")
        .map(|trigger| &trigger["metadata"])
        .map(|metadata| {
            (
                scalar(&metadata["consumerGroup"]),
                scalar(&metadata["topic"]),
            )
        })
        .collect()
}

#[test]
fn topics_are_those_of_the_components() {
    let topics = set([TASKS_TOPIC, REMINDERS_TOPIC, DEAD_LETTERS_TOPIC]);
    let variables = ["tasks_topic", "reminders_topic", "dead_letter_topic"].map(default);
    assert_eq!(BTreeSet::from(variables), topics, "spin.toml");
    for layer in Layer::named("kafka") {
        let declared: BTreeSet<String> =
            layer.kind("KafkaTopic").iter().map(Object::name).collect();
        assert_eq!(declared, topics, "{}", layer.name);
        let exported = layer
            .find("Kafka", "todo-events")
            .text_at("/spec/kafkaExporter/topicRegex");
        assert_eq!(
            alternatives(&exported),
            topics,
            "{}: topicRegex",
            layer.name
        );
    }
}

fn alternatives(expression: &str) -> BTreeSet<String> {
    expression.split('|').map(str::to_owned).collect()
}

#[test]
fn groups_are_those_of_the_dapr_components() {
    for app in Layer::named("app") {
        let kafka = app.beside("kafka");
        let groups = groups(app);
        assert_eq!(groups, set(["recurrence", "reminder"]), "{}", app.name);
        let exported = kafka
            .find("Kafka", "todo-events")
            .text_at("/spec/kafkaExporter/groupRegex");
        assert_eq!(
            alternatives(&exported),
            groups,
            "{}: groupRegex",
            kafka.name
        );
        let user = kafka.find("KafkaUser", "todo-events");
        assert_eq!(allowed(&user, "group", "Read"), groups, "{}", user.place());
        for operation in ["Read", "Write"] {
            let topics = allowed(&user, "topic", operation);
            assert_eq!(
                topics.len(),
                kafka.kind("KafkaTopic").len(),
                "{}",
                user.place()
            );
            for topic in topics {
                kafka.find("KafkaTopic", &topic);
            }
        }
        let names: BTreeSet<String> = app.kind("Component").iter().map(Object::name).collect();
        for variable in ["pubsub_name", "pubsub_reminders_name"] {
            assert!(
                names.contains(&default(variable)),
                "{variable} is none of {names:?}"
            );
        }
    }
}

#[test]
fn the_scaler_asks_about_all_groups_what_its_user_may_know() {
    let mut scaled_layers = 0;
    for app in Layer::named("app") {
        let kafka = app.beside("kafka");
        let user = kafka.find("KafkaUser", "todo-events-scaler");
        for scaled in app
            .scaling()
            .iter()
            .flat_map(|layer| layer.kind("ScaledObject"))
        {
            scaled_layers += 1;
            let triggers = triggers(&scaled);
            let named = |pairs: [(&str, &str); 3]| pairs.map(|(a, b)| (a.to_owned(), b.to_owned()));
            let expected = named([
                ("recurrence", TASKS_TOPIC),
                ("reminder", TASKS_TOPIC),
                ("reminder", REMINDERS_TOPIC),
            ]);
            assert_eq!(triggers, expected.into(), "{}", scaled.place());
            for (group, topic) in &triggers {
                assert!(groups(app).contains(group));
                assert!(
                    allowed(&user, "group", "Describe").contains(group),
                    "{}",
                    user.place()
                );
                assert!(
                    allowed(&user, "topic", "Describe").contains(topic),
                    "{}",
                    user.place()
                );
                let partitions = kafka
                    .find("KafkaTopic", topic)
                    .number_at("/spec/partitions");
                let replicas = scaled.number_at("/spec/maxReplicaCount");
                assert!(
                    replicas <= partitions,
                    "{}: more than {topic} has partitions",
                    scaled.place()
                );
            }
            let target = scaled.text_at("/spec/scaleTargetRef/name");
            // Its Deployment is named like it.
            app.find("SpinApp", &target);
            let pooler = app
                .beside("postgres")
                .find("Pooler", "todo-events-db-pooler");
            let connections = pooler.number_at("/spec/pgbouncer/parameters/max_client_conn");
            let most = 64 * pools() * scaled.number_at("/spec/maxReplicaCount");
            assert!(
                most <= connections,
                "{}: {most} connections of Spin",
                pooler.place()
            );
        }
        for operation in ["Read", "Write", "Create", "Alter", "Delete", "All"] {
            assert!(
                allowed(&user, "topic", operation).is_empty(),
                "{}",
                user.place()
            );
            assert!(
                allowed(&user, "group", operation).is_empty(),
                "{}",
                user.place()
            );
        }
    }
    assert_eq!(scaled_layers, 2);
}

#[test]
fn retention_is_what_the_relay_counts_on() {
    let seconds = |variable: &str| default(variable).parse().unwrap_or(0_u64);
    for layer in Layer::named("kafka") {
        for topic in [TASKS_TOPIC, REMINDERS_TOPIC] {
            let topic = layer.find("KafkaTopic", topic);
            let milliseconds = topic.number_at("/spec/config/retention.ms");
            assert_eq!(
                milliseconds,
                1000 * seconds("retention_topics_seconds"),
                "{}",
                topic.place()
            );
            assert_eq!(milliseconds, 1000 * 60 * 60 * 24 * 7);
        }
        let letters = layer.find("KafkaTopic", DEAD_LETTERS_TOPIC);
        let milliseconds = letters.number_at("/spec/config/retention.ms");
        assert_eq!(
            milliseconds,
            1000 * 60 * 60 * 24 * 30,
            "{}",
            letters.place()
        );
        assert!(milliseconds < 1000 * seconds("retention_processed_ids_seconds"));
    }
}

#[test]
fn brokers_are_where_everyone_looks_for_them() {
    for app in Layer::named("app") {
        let kafka = app.beside("kafka").find("Kafka", "todo-events");
        let listeners = kafka.list("/spec/kafka/listeners");
        assert_eq!(listeners.len(), 1, "{}", kafka.place());
        let port = scalar(&listeners[0]["port"]);
        assert_eq!(listeners[0]["tls"], true);
        let namespace = kafka.text_at("/metadata/namespace");
        let address = format!("{}-kafka-bootstrap.{namespace}.svc:{port}", kafka.name());
        for access in app
            .scaling()
            .into_iter()
            .chain([app])
            .flat_map(|layer| layer.kind("KafkaAccess"))
        {
            assert_eq!(
                access.text_at("/spec/kafka/name"),
                kafka.name(),
                "{}",
                access.place()
            );
            assert_eq!(
                access.text_at("/spec/kafka/namespace"),
                namespace,
                "{}",
                access.place()
            );
            assert_eq!(
                access.at("/spec/kafka/listener"),
                &listeners[0]["name"],
                "{}",
                access.place()
            );
            app.beside("kafka")
                .find("KafkaUser", &access.text_at("/spec/user/name"));
            assert_eq!(
                access.text_at("/spec/user/namespace"),
                namespace,
                "{}",
                access.place()
            );
        }
        for scaled in app
            .scaling()
            .iter()
            .flat_map(|layer| layer.kind("ScaledObject"))
        {
            let kafka_triggers = scaled
                .list("/spec/triggers")
                .iter()
                .filter(|each| each["type"] == "kafka");
            for trigger in kafka_triggers {
                assert_eq!(
                    trigger["metadata"]["bootstrapServers"],
                    Value::from(address.clone()),
                    "{}",
                    scaled.place()
                );
                assert_eq!(trigger["metadata"]["sasl"], "scram_sha512");
                assert_eq!(trigger["metadata"]["tls"], "enable");
                let authentication = scalar(&trigger["authenticationRef"]["name"]);
                app.beside("scaling")
                    .find("TriggerAuthentication", &authentication);
            }
        }
    }
}

#[test]
fn containers_get_the_same_topics() {
    let compose = file_text("docker-compose.kafka.yml");
    for topic in Layer::get("prod/kafka").kind("KafkaTopic") {
        let partitions = topic.text_at("/spec/partitions");
        let retention = topic.text_at("/spec/config/retention.ms");
        let command = format!("create {} {partitions} {retention}\n", topic.name());
        assert!(
            compose.contains(&command),
            "docker-compose.kafka.yml has no {command:?}"
        );
    }
}

#[test]
fn lag_is_watched_for_both_groups() {
    let alerts = file_text("k8s/monitoring/alerts.yaml");
    assert!(
        alerts.contains("consumergroup=~\"recurrence|reminder\""),
        "k8s/monitoring/alerts.yaml"
    );
}
