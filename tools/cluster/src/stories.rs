//! What is shown on the running cluster. Each story leaves the service as it found it.

mod disruptions;
mod load;
mod migration;
mod network_policies;
mod route;
mod scaling;
mod sidecar;
mod task;
mod versions;

use anyhow::{Context, Result, bail};
use stack::report::Report;

use crate::kubectl::Kubectl;
use crate::service::Service;

type Story = fn(&Service, &Kubectl, &Report) -> Result<()>;

const STORIES: &[(&str, Story)] = &[
    (
        "the_route_forwards_what_the_app_answers",
        route::the_route_forwards_what_the_app_answers,
    ),
    (
        "a_completed_task_has_a_next_instance",
        task::a_completed_task_has_a_next_instance,
    ),
    (
        "the_injector_gives_what_the_quick_start_gives",
        sidecar::the_injector_gives_what_the_quick_start_gives,
    ),
    (
        "scaling_is_taken_after_the_app",
        scaling::scaling_is_taken_after_the_app,
    ),
    (
        "network_policies_let_through_what_must_and_nothing_else",
        network_policies::network_policies_let_through_what_must_and_nothing_else,
    ),
    (
        "pods_deleted_under_load_lose_nothing",
        disruptions::pods_deleted_under_load_lose_nothing,
    ),
    (
        "pods_evicted_under_load_lose_nothing",
        disruptions::pods_evicted_under_load_lose_nothing,
    ),
    (
        "rollouts_under_load_lose_nothing",
        disruptions::rollouts_under_load_lose_nothing,
    ),
    (
        "scaling_down_under_load_loses_nothing",
        disruptions::scaling_down_under_load_loses_nothing,
    ),
    (
        "the_clients_key_is_rotated_under_load",
        disruptions::the_clients_key_is_rotated_under_load,
    ),
    (
        "the_broker_is_away_during_a_rollout",
        disruptions::the_broker_is_away_during_a_rollout,
    ),
    (
        "a_failed_migration_and_the_way_back",
        migration::a_failed_migration_and_the_way_back,
    ),
    (
        versions::NAME,
        versions::the_version_before_serves_beside_this_one,
    ),
];

/// Tells all stories whose name contains one of `filters`, or all; fails at the end with the names of those that failed.
pub fn tell_all(
    service: &Service,
    kubectl: &Kubectl,
    filters: &[String],
    report: &Report,
) -> Result<()> {
    let mut failed = Vec::new();
    for &(name, story) in STORIES {
        if !filters.is_empty() && !named(name, filters) {
            continue;
        }
        match story(service, kubectl, report) {
            Ok(()) => report.step(format!("{name} ... ok")),
            Err(error) => {
                report.step(format!(
                    "{name} ... FAILED\n{error:?}\n{}",
                    kubectl.describe("todo-app")
                ));
                failed.push(name);
            }
        }
        stack::interrupt::check()?;
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn named(name: &str, filters: &[String]) -> bool {
    filters.iter().any(|filter| name.contains(filter))
}

/// Whether the version before this one is told of.
pub fn need_the_version_before(filters: &[String]) -> bool {
    named(versions::NAME, filters)
}

/// A user of a story's own.
fn new_user() -> String {
    format!("user-{}", uuid::Uuid::now_v7().simple())
}

/// The number that a statement returns.
fn count(service: &Service, statement: &str) -> Result<i64> {
    Ok(service
        .database()?
        .query_one(statement, &[])
        .context("the count failed")?
        .get(0))
}
