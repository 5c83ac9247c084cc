//! A further replica beside a running stack: an app with a sidecar of its own.

use std::thread;
use std::time::Instant;

use anyhow::Result;

use super::{PAUSE_BEFORE_END, Stack};
use crate::endpoints::Endpoints;
use crate::service::Service;
use crate::{process, services};

/// An app and a sidecar on the database, the broker and the scheduler of a stack. Dropped, it is killed; to be dropped
/// before the stack.
#[derive(Debug)]
pub struct Replica {
    daprd: Service,
    app: Service,
    endpoints: Endpoints,
}

impl Stack {
    /// Describes a further replica, with a name that no other replica of the stack has; nothing is started yet.
    ///
    /// # Errors
    /// When there is no free port or its folders cannot be made.
    pub fn replica(&self, name: &str) -> Result<Replica> {
        let ports = self.ports.of_replica()?;
        let (app_name, daprd_name) = (format!("app-{name}"), format!("daprd-{name}"));
        let mut variables = self.variables.clone();
        variables.push(("sidecar_name".to_owned(), name.to_owned()));
        let app = services::app(&services::App {
            name: &app_name,
            programs: &self.endpoints.programs,
            ports: &ports,
            folders: &self.folders,
            secrets: &self.endpoints.secrets,
            database_url: &self.endpoints.database_url,
            variables: &variables,
        })?;
        let daprd = services::daprd(&services::Sidecar {
            name: &daprd_name,
            programs: &self.endpoints.programs,
            ports: &ports,
            folders: &self.folders,
            secrets: &self.endpoints.secrets,
            kafka: &self.endpoints.kafka,
            resources: &self.resources,
        });
        let mut endpoints = self.endpoints.clone();
        endpoints.api_url = format!("http://127.0.0.1:{}", ports.app.port());
        endpoints.dapr_url = format!("http://127.0.0.1:{}", ports.dapr_http);
        endpoints.dapr_metrics_url = format!("http://127.0.0.1:{}", ports.dapr_metrics);
        endpoints.component_logs = self.folders.state.join(&app_name).join("logs");
        endpoints
            .logs
            .insert("app".to_owned(), app.log().to_owned());
        endpoints
            .logs
            .insert("daprd".to_owned(), daprd.log().to_owned());
        Ok(Replica {
            daprd,
            app,
            endpoints,
        })
    }
}

impl Replica {
    /// The stack, as seen from this replica.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Its sidecar.
    #[must_use]
    pub fn daprd(&self) -> &Service {
        &self.daprd
    }

    /// Its app.
    #[must_use]
    pub fn app(&self) -> &Service {
        &self.app
    }
}

/// See [`Stack::end_pod`].
pub(super) fn end_pod(daprd: &Service, app: &Service) -> Result<()> {
    daprd.request_stop();
    let told = Instant::now();
    while !daprd.has_ended() && told.elapsed() < PAUSE_BEFORE_END {
        thread::sleep(process::POLL);
    }
    let ended = app.stop();
    // An app that does not answer is not waited for any longer.
    daprd.wait_stopped().and(ended)
}
