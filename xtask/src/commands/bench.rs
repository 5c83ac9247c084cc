//! `bench`

use anyhow::Result;
use stack::postgres_server;
use stack::report::Report;
use xtask::bench::{self, Against, Measure, Options};

use crate::{BenchArguments, MeasureName};

pub fn run(arguments: BenchArguments, report: Report) -> Result<()> {
    let label = arguments.against_label;
    let schema = arguments.against_schema;
    bench::run(
        &Options {
            host: arguments.host.map(Into::into),
            clients: arguments.clients,
            seconds: arguments.seconds,
            rounds: arguments.rounds,
            preload: arguments.preload,
            samples: arguments.samples,
            backlog: arguments.backlog,
            only: arguments.only.into_iter().map(Into::into).collect(),
            against: arguments.against.map(|command| Against {
                command,
                label,
                schema,
            }),
            json: arguments.json,
            database_url: postgres_server::given(),
        },
        report,
    )
}

impl From<MeasureName> for Measure {
    fn from(name: MeasureName) -> Self {
        match name {
            MeasureName::Create => Self::Create,
            MeasureName::Mixed => Self::Mixed,
            MeasureName::Probes => Self::Probes,
            MeasureName::Drain => Self::Drain,
            MeasureName::Start => Self::Start,
        }
    }
}
