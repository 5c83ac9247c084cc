//! What is measured with the app or its sidecar stopped.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use load::plan::Work;
use serde_json::json;
use stack::{interrupt, net};

use super::{Record, Turn};
use crate::bench::figures::{by_name, count, per_unit};
use crate::bench::generator::part;
use crate::bench::table;

/// Users of the backlog: each has a lane of its own.
const BACKLOG_USERS: usize = 500;
const STARTS: usize = 3;
const START_LIMIT: Duration = Duration::from_secs(60);

impl Turn<'_> {
    pub(super) fn drain(&mut self, group: &str) -> Result<Record> {
        let users = self.users("away", BACKLOG_USERS)?;
        let daprd = self.part("sidecar")?;
        daprd.stop()?;
        let since = self.progress.baseline_without_sidecar()?;
        let before = self.usages();
        let work = Work::Fill {
            clients: 16,
            count: self.options.backlog,
            due: false,
            tell_ids: false,
        };
        let result = self.generate(&users, work)?;
        let accepted: u64 = part(&result, "accepted")?;
        let began = Instant::now();
        daprd.start()?;
        let started = began.elapsed();
        let settled = self.progress.settle(&since, accepted)?;
        let took = (started + settled.after).as_secs_f64();
        let used = self.used_since(&before);
        let mut figures = vec![
            ("events".to_owned(), count(settled.published)),
            ("seconds from the sidecar's start".to_owned(), took),
            (
                "settled/s".to_owned(),
                count(settled.published.saturating_sub(settled.missing)) / took,
            ),
            ("create p99 ms".to_owned(), part(&result, "p99_ms")?),
            ("errors".to_owned(), part(&result, "errors")?),
        ];
        if settled.missing > 0 {
            figures.push(("never settled".to_owned(), count(settled.missing)));
        }
        figures.extend(per_unit(&used, count(accepted), "create"));
        Ok(Record {
            group: group.to_owned(),
            figures,
            detail: json!({
                "load": result,
                "sidecar_start_seconds": started.as_secs_f64(),
                "cpu_seconds": by_name(&used),
            }),
        })
    }

    /// The last one: the sidecar does not come back.
    pub(super) fn start(&self, group: &str) -> Result<Record> {
        self.part("sidecar")?.stop()?;
        let app = self.part("app")?;
        let mut times = Vec::new();
        for _ in 0..STARTS {
            app.stop()?;
            let began = Instant::now();
            app.spawn()?;
            while net::get(&self.ready_url, &[]).is_err() {
                interrupt::check()?;
                if began.elapsed() > START_LIMIT || app.has_ended() {
                    bail!("it did not become ready{}", app.tail());
                }
                thread::sleep(Duration::from_millis(2));
            }
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        let median = table::median(&mut times).context("it was not started")?;
        Ok(Record {
            group: group.to_owned(),
            figures: vec![("ms until ready".to_owned(), median)],
            detail: json!({"ms": times}),
        })
    }
}
