//! Reading Kafka topics from their beginning, and writing them for tests, through the Kafka protocol.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use serde_json::Value;

/// How long any one exchange with the broker may take.
const LIMIT: Duration = Duration::from_secs(15);
/// Fetched at once at most; a larger record is still fetched.
const FETCH_BYTES: std::ops::Range<i32> = 1..8_000_000;
const FETCH_WAIT_MS: i32 = 200;

/// One record of a topic.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic's partition it is in.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// What chose the partition; for this project's events the user.
    pub key: Option<String>,
    /// Headers by name.
    pub headers: BTreeMap<String, String>,
    /// Its content.
    pub value: Vec<u8>,
    /// When the broker or producer says it was written.
    pub timestamp: SystemTime,
}

impl Record {
    /// The content as JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.value).context("the record is not JSON")
    }
}

impl fmt::Debug for Record {
    /// With the content as text, for readable failures of tests.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{} key {:?} headers {:?}: {}",
            self.partition,
            self.offset,
            self.key,
            self.headers,
            String::from_utf8_lossy(&self.value)
        )
    }
}

/// An offset for each partition of a topic.
pub type Offsets = BTreeMap<i32, i64>;

/// Reads everything that is in a topic now, ordered by partition, then offset. Blocks; not to be
/// called from asynchronous code.
///
/// # Errors
/// When the broker does not answer or has no such topic.
pub fn read_all(broker: &str, topic: &str) -> Result<Vec<Record>> {
    read_from(broker, topic, &Offsets::new())
}

/// As [`read_all`], but each partition from an offset on, where one is given.
///
/// # Errors
/// As [`read_all`].
pub fn read_from(broker: &str, topic: &str, from: &Offsets) -> Result<Vec<Record>> {
    blocking(async {
        let mut records = Vec::new();
        for (partition, reader) in partitions(broker, topic).await? {
            let from = from.get(&partition).copied();
            read_partition(&reader, partition, from, &mut records)
                .await
                .with_context(|| format!("cannot read {topic}/{partition}"))?;
        }
        Ok(records)
    })
}

/// Where each partition of a topic ends now.
///
/// # Errors
/// As [`read_all`].
pub fn end_offsets(broker: &str, topic: &str) -> Result<Offsets> {
    blocking(async {
        let mut offsets = Offsets::new();
        for (partition, reader) in partitions(broker, topic).await? {
            offsets.insert(partition, reader.get_offset(OffsetAt::Latest).await?);
        }
        Ok(offsets)
    })
}

/// Appends a record to a partition, as a foreign producer would. Returns its offset.
///
/// # Errors
/// As [`read_all`].
pub fn append(
    broker: &str,
    topic: &str,
    partition: i32,
    key: Option<&[u8]>,
    headers: &[(&str, &[u8])],
    value: &[u8],
) -> Result<i64> {
    blocking(async {
        let producer = producer(broker, topic, partition).await?;
        let record = rskafka::record::Record {
            key: key.map(<[u8]>::to_vec),
            value: Some(value.to_vec()),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
            timestamp: SystemTime::now().into(),
        };
        let produced = producer
            .produce(vec![record], Compression::NoCompression)
            .await?;
        produced
            .first()
            .copied()
            .context("the broker told no offset")
    })
}

/// Appends many values of one key to a partition, hundreds in each exchange.
///
/// # Errors
/// As [`read_all`].
pub fn append_all(
    broker: &str,
    topic: &str,
    partition: i32,
    key: &str,
    values: &[Vec<u8>],
) -> Result<()> {
    blocking(async {
        let producer = producer(broker, topic, partition).await?;
        for some in values.chunks(500) {
            let records = some.iter().map(|value| rskafka::record::Record {
                key: Some(key.as_bytes().to_vec()),
                value: Some(value.clone()),
                headers: BTreeMap::new(),
                timestamp: SystemTime::now().into(),
            });
            producer
                .produce(records.collect(), Compression::NoCompression)
                .await?;
        }
        Ok(())
    })
}

async fn partitions(broker: &str, topic: &str) -> Result<Vec<(i32, PartitionClient)>> {
    let client = connect(broker).await?;
    let topics = client.list_topics().await.context("cannot list topics")?;
    let numbers = topics
        .into_iter()
        .find(|found| found.name == topic)
        .with_context(|| format!("the broker has no topic {topic}"))?
        .partitions;
    let mut partitions = Vec::new();
    for number in numbers {
        let reader = client
            .partition_client(topic, number, UnknownTopicHandling::Error)
            .await
            .with_context(|| format!("cannot read {topic}/{number}"))?;
        partitions.push((number, reader));
    }
    Ok(partitions)
}

async fn read_partition(
    reader: &PartitionClient,
    partition: i32,
    from: Option<i64>,
    records: &mut Vec<Record>,
) -> Result<()> {
    let earliest = reader.get_offset(OffsetAt::Earliest).await?;
    let mut next = from.map_or(earliest, |from| from.max(earliest));
    let end = reader.get_offset(OffsetAt::Latest).await?;
    while next < end {
        let (fetched, _) = reader
            .fetch_records(next, FETCH_BYTES, FETCH_WAIT_MS)
            .await?;
        for found in fetched {
            next = next.max(found.offset + 1);
            records.push(Record {
                partition,
                offset: found.offset,
                key: found.record.key.map(lossy),
                headers: found
                    .record
                    .headers
                    .into_iter()
                    .map(|(name, value)| (name, lossy(value)))
                    .collect(),
                value: found.record.value.unwrap_or_default(),
                timestamp: found.record.timestamp.into(),
            });
        }
    }
    Ok(())
}

/// Creates the topics that the broker lacks, each with one replica.
///
/// # Errors
/// When the broker does not answer or refuses.
pub fn create_topics(broker: &str, topics: &[(&str, i32)]) -> Result<()> {
    blocking(async {
        let client = connect(broker).await?;
        let existing = client.list_topics().await.context("cannot list topics")?;
        let controller = client.controller_client()?;
        for (topic, partitions) in topics {
            if !existing.iter().any(|found| found.name == *topic) {
                let limit = i32::try_from(LIMIT.as_millis())?;
                controller
                    .create_topic(*topic, *partitions, 1, limit)
                    .await
                    .with_context(|| format!("cannot create topic {topic}"))?;
            }
        }
        Ok(())
    })
}

async fn producer(broker: &str, topic: &str, partition: i32) -> Result<PartitionClient> {
    connect(broker)
        .await?
        .partition_client(topic, partition, UnknownTopicHandling::Error)
        .await
        .with_context(|| format!("cannot write {topic}/{partition}"))
}

async fn connect(broker: &str) -> Result<Client> {
    ClientBuilder::new(vec![broker.to_owned()])
        .build()
        .await
        .with_context(|| format!("no Kafka broker answers on {broker}"))
}

fn blocking<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, work)
            .await
            .context("the Kafka broker did not answer in time")?
    })
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
