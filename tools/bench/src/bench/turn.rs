//! The measurements of one server.

mod stopped;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use load::plan::{Plan, TaskOf, User, Work};
use serde::Deserialize;
use serde_json::{Value, json};

use super::figures::{by_name, count, group, per_unit, probe};
use super::generator::{Generator, Tally, part};
use super::progress::{Baseline, Progress};
use super::usage::{self, Usage};
use super::{Measure, Options, Sink};
use stack::endpoints::TASKS_TOPIC;
use stack::service::Service;
use stack::{interrupt, token};

const USERS: usize = 100;
const WARM_UP_SECONDS: f64 = 3.0;
const IDLE: Duration = Duration::from_secs(10);

/// One server, while it is measured.
pub(crate) struct Turn<'a> {
    pub(crate) generator: &'a Generator,
    pub(crate) options: &'a Options,
    pub(crate) address: SocketAddrV4,
    pub(crate) jwt_secret: &'a str,
    pub(crate) kafka: &'a str,
    /// What answers 200 as soon as the app is ready.
    pub(crate) ready_url: String,
    /// What the service consists of, by name.
    pub(crate) parts: Vec<(&'static str, &'a Service)>,
    pub(crate) progress: Progress,
    /// Whether it delivers later what it could not publish.
    pub(crate) drains: bool,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Record {
    /// Of what.
    pub(crate) group: String,
    /// For people, in their order.
    pub(crate) figures: Vec<(String, f64)>,
    /// Everything else.
    pub(crate) detail: Value,
}

type Usages = BTreeMap<&'static str, Usage>;

impl Turn<'_> {
    /// Measures everything that is asked for.
    pub(crate) fn run(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.warm_up()?;
        let clients = self.options.clients.clone();
        if self.wants(Measure::Create) {
            for count in &clients {
                for due in [false, true] {
                    let group = group("create", *count, due);
                    let record = self.create(&group, *count, due);
                    keep(sink, &group, record)?;
                }
            }
        }
        if self.wants(Measure::Mixed) {
            let count = clients.iter().copied().max().unwrap_or(1);
            let group = format!("mixed load, {count} clients");
            let record = self.mixed(&group, count);
            keep(sink, &group, record)?;
            let group = "memory after the load";
            let record = self.memory(group);
            keep(sink, group, record)?;
        }
        if self.wants(Measure::Probes) {
            let group = "completion to next instance";
            let record = self.next_instance(group);
            keep(sink, group, record)?;
            let group = "create to event";
            let record = self.event(group);
            keep(sink, group, record)?;
            let group = "idle";
            let record = self.idle(group);
            keep(sink, group, record)?;
        }
        if self.wants(Measure::Drain) && self.drains {
            let group = "drain after an outage of the sidecar";
            let record = self.drain(group);
            keep(sink, group, record)?;
        }
        if self.wants(Measure::Start) {
            let group = "start of the app";
            let record = self.start(group);
            keep(sink, group, record)?;
        }
        Ok(())
    }

    fn wants(&self, measure: Measure) -> bool {
        self.options.only.is_empty() || self.options.only.contains(&measure)
    }

    /// Fills pools and caches, and finds out which consumers there are.
    fn warm_up(&mut self) -> Result<()> {
        let users = self.users("warm", USERS)?;
        let since = self.progress.baseline()?;
        let result = self.generate(
            &users,
            Work::Create {
                clients: 16,
                seconds: WARM_UP_SECONDS,
                due: true,
            },
        )?;
        let accepted = part(&result, "accepted")?;
        if accepted == 0 {
            bail!("no create was accepted: {result}");
        }
        self.progress.settle(&since, accepted)?;
        Ok(())
    }

    fn create(&mut self, group: &str, clients: usize, due: bool) -> Result<Record> {
        let users = self.users("w1", USERS)?;
        let work = Work::Create {
            clients,
            seconds: self.options.seconds,
            due,
        };
        let before = self.usages();
        let since = self.progress.baseline()?;
        let result = self.generate(&users, work)?;
        let accepted: u64 = part(&result, "accepted")?;
        self.settled(group, "create", &result, accepted, &since, &before)
    }

    fn mixed(&mut self, group: &str, clients: usize) -> Result<Record> {
        let users = self.users("w2", USERS)?;
        let since = self.progress.baseline()?;
        let fill = Work::Fill {
            clients: 16,
            count: self.options.preload * u64::try_from(USERS)?,
            due: true,
            tell_ids: true,
        };
        let preloaded = self.generate(&users, fill)?;
        self.progress
            .settle(&since, part(&preloaded, "accepted")?)?;
        let preloaded: Vec<TaskOf> = part(&preloaded, "ids")?;

        let before = self.usages();
        let since = self.progress.baseline()?;
        let work = Work::Mixed {
            clients,
            seconds: self.options.seconds,
            seed: 1,
            preloaded,
        };
        let mut result = self.generate(&users, work)?;
        // A repeated completion emits no event, so completions are not counted.
        let kinds: BTreeMap<String, Tally> = part(&result, "kinds")?;
        let events = ["create", "patch", "delete"]
            .iter()
            .filter_map(|kind| kinds.get(*kind))
            .map(|tally| tally.accepted)
            .sum();
        if let Some(object) = result.as_object_mut() {
            object.remove("ids");
        }
        let mut record = self.settled(group, "request", &result, events, &since, &before)?;
        for (kind, tally) in kinds {
            record
                .figures
                .push((format!("{kind} p99 ms"), tally.p99_ms));
        }
        Ok(record)
    }

    /// What clients saw, then what it took until all of it was settled. `events`: how many it must have caused.
    fn settled(
        &mut self,
        group: &str,
        unit: &str,
        result: &Value,
        events: u64,
        since: &Baseline,
        before: &Usages,
    ) -> Result<Record> {
        let settled = self.progress.settle(since, events)?;
        let used = self.used_since(before);
        let tally = Tally::deserialize(result).context("the load told no times")?;
        let seconds: f64 = part(result, "seconds")?;
        let accepted = count(tally.accepted);
        let mut figures = vec![
            ("accepted/s".to_owned(), accepted / seconds),
            (
                "settled/s".to_owned(),
                (accepted - count(settled.missing)).max(0.0)
                    / (seconds + settled.after.as_secs_f64()),
            ),
            ("p50 ms".to_owned(), tally.p50_ms),
            ("p99 ms".to_owned(), tally.p99_ms),
            ("errors".to_owned(), count(tally.errors)),
        ];
        if settled.missing > 0 {
            figures.push(("never settled".to_owned(), count(settled.missing)));
        }
        figures.extend(per_unit(&used, accepted, unit));
        let own: f64 = part(result, "cpu_seconds")?;
        figures.push((format!("(load) CPU ms per {unit}"), 1000.0 * own / accepted));
        Ok(Record {
            group: group.to_owned(),
            figures,
            detail: json!({
                "load": result,
                "catch_up_seconds": settled.after.as_secs_f64(),
                "published": settled.published,
                "missing": settled.missing,
                "cpu_seconds": by_name(&used),
            }),
        })
    }

    fn memory(&self, group: &str) -> Result<Record> {
        let usages = self.usages();
        let app = usages.get("app").context("there is no /proc")?;
        let mut figures = vec![
            ("app resident MiB".to_owned(), app.resident_mib),
            ("app proportional MiB".to_owned(), app.proportional_mib),
        ];
        for (name, usage) in &usages {
            if *name != "app" {
                figures.push((format!("{name} proportional MiB"), usage.proportional_mib));
            }
        }
        Ok(Record {
            group: group.to_owned(),
            figures,
            detail: Value::Null,
        })
    }

    fn next_instance(&mut self, group: &str) -> Result<Record> {
        let users = self.users("w3", self.options.samples)?;
        let result = self.generate(&users, Work::NextInstance)?;
        probe(group, result, "completed", "visible")
    }

    fn event(&mut self, group: &str) -> Result<Record> {
        let users = self.users("probe", self.options.samples)?;
        let work = Work::Event {
            kafka: self.kafka.to_owned(),
            topic: TASKS_TOPIC.to_owned(),
        };
        let result = self.generate(&users, work)?;
        probe(group, result, "created", "received")
    }

    /// What it takes to do nothing.
    fn idle(&mut self, group: &str) -> Result<Record> {
        let since = self.progress.baseline()?;
        self.progress.settle(&since, 0)?;
        let before = self.usages();
        let began = Instant::now();
        while began.elapsed() < IDLE {
            interrupt::check()?;
            thread::sleep(Duration::from_millis(50));
        }
        let used = self.used_since(&before);
        let figures = used
            .iter()
            .map(|(name, seconds)| {
                let share = 100.0 * seconds / began.elapsed().as_secs_f64();
                (format!("{name} % of a processor"), share)
            })
            .collect();
        Ok(Record {
            group: group.to_owned(),
            figures,
            detail: Value::Null,
        })
    }

    fn generate(&self, users: &[User], work: Work) -> Result<Value> {
        self.generator.run(&Plan {
            address: self.address.into(),
            users: users.to_vec(),
            work,
        })
    }

    fn users(&self, prefix: &str, count: usize) -> Result<Vec<User>> {
        (0..count)
            .map(|number| {
                let name = format!("{prefix}-{number:03}");
                let token = token::mint(self.jwt_secret, &name)?;
                Ok(User { name, token })
            })
            .collect()
    }

    fn part(&self, name: &str) -> Result<&Service> {
        let found = self.parts.iter().find(|(part, _)| *part == name);
        found
            .map(|(_, service)| *service)
            .with_context(|| format!("there is no {name}"))
    }

    fn usages(&self) -> Usages {
        self.parts
            .iter()
            .filter_map(|(name, service)| Some((*name, usage::of(service.pid()?)?)))
            .collect()
    }

    /// Processor seconds of each part since then. One that did not run then counts from its start.
    fn used_since(&self, before: &Usages) -> Vec<(&'static str, f64)> {
        let now = self.usages();
        self.parts
            .iter()
            .filter_map(|(name, _)| {
                let before = before.get(name).map_or(0.0, |usage| usage.cpu_seconds);
                let now = now.get(name)?.cpu_seconds;
                Some((*name, now - before))
            })
            .collect()
    }
}

fn keep(sink: &mut Sink<'_>, group: &str, record: Result<Record>) -> Result<()> {
    match record {
        Ok(record) => sink.take(record),
        Err(error) => sink.failed(group, &error),
    }
}
