//! The events' description names the topics, groups and brokers that are deployed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::layer::{Layer, file_text};
use crate::settings::default;

fn description() -> Value {
    match serde_json::from_str(&file_text("components/task-api/asyncapi.json")) {
        Ok(description) => description,
        Err(error) => panic!("asyncapi.json: {error}"),
    }
}

#[test]
fn topics_of_asyncapi_json_are_those_of_production() {
    let description = description();
    let kafka = Layer::get("prod/kafka");
    let topics = kafka.kind("KafkaTopic");
    let channels = description["channels"].as_object();
    assert_eq!(channels.map_or(0, serde_json::Map::len), topics.len());
    for topic in topics {
        let channel = &description["channels"][topic.name()];
        let said = &channel["bindings"]["kafka"];
        assert_eq!(channel["address"], topic.name());
        assert_eq!(said["topic"], topic.name());
        for name in ["partitions", "replicas"] {
            let deployed = topic.number_at(&format!("/spec/{name}"));
            assert_eq!(said[name], deployed, "{}: {name}", topic.place());
        }
        assert_eq!(
            said["topicConfiguration"]["retention.ms"],
            topic.number_at("/spec/config/retention.ms"),
            "{}",
            topic.place()
        );
    }
    let variables = ["tasks_topic", "reminders_topic", "dead_letter_topic"].map(default);
    for name in variables {
        assert!(description["channels"][&name].is_object(), "{name}");
    }
}

#[test]
fn groups_of_asyncapi_json_are_those_of_the_dapr_components() {
    let description = description();
    let operations = description["operations"].as_object().into_iter().flatten();
    let said: BTreeSet<&str> = operations
        .filter_map(|(_, operation)| operation["bindings"]["kafka"]["groupId"]["enum"][0].as_str())
        .collect();
    for file in ["kafka-pubsub", "kafka-pubsub-reminders"] {
        let component = file_text(&format!("dapr/local/{file}.yaml"));
        let group = component
            .split("name: consumerGroup")
            .nth(1)
            .and_then(|rest| rest.lines().nth(1))
            .and_then(|line| line.trim().strip_prefix("value: "));
        assert!(
            group.is_some_and(|group| said.contains(group)),
            "{file}: {group:?} is none of {said:?}"
        );
    }
    assert_eq!(said.len(), 2);
}

#[test]
fn brokers_of_asyncapi_json_are_where_everyone_looks_for_them() {
    let description = description();
    let host = |server: &str| description["servers"][server]["host"].clone();
    let cluster = Layer::get("prod/kafka").find("Kafka", "todo-events");
    let listener = &cluster.list("/spec/kafka/listeners")[0];
    let bootstrap = format!(
        "{}-kafka-bootstrap.{}.svc:{}",
        cluster.name(),
        cluster.text_at("/metadata/namespace"),
        listener["port"]
    );
    assert_eq!(host("kubernetes"), bootstrap.as_str());
    assert_eq!(listener["authentication"]["type"], "scram-sha-512");
    assert_eq!(listener["tls"], true);
    let containers = host("containers");
    let advertised = format!("HOST://{}", containers.as_str().unwrap_or_default());
    assert!(file_text("docker-compose.kafka.yml").contains(&advertised));
}
