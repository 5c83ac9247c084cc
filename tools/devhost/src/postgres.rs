//! `spin:postgres@4.0.0`: outbound PostgreSQL with a pool per address.
//!
//! As in Spin: 64 connections per address and no limit on waiting for one; a connection is cleaned, not rolled back,
//! when it is taken again; statements are prepared each time; TLS unless the address says `sslmode=disable`.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use futures_util::TryStreamExt;
use tokio_postgres::config::{Config, Host as PgHost, SslMode};
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};
use wasmtime::component::Resource;

use crate::bindings::spin::postgres::postgres::{
    Column, Connection, DbError, Error, Host, HostConnection, ParameterValue, QueryError, RowSet,
};
use crate::host::Instance;
use crate::postgres_types::{data_type, parameter, value, value_size};

const CONNECTIONS_PER_ADDRESS: usize = 64;
/// A result larger than this is an error.
const MAX_RESULT_BYTES: usize = 128 << 20;

/// The pools of an application, by address.
#[derive(Default)]
pub struct Pools(Mutex<HashMap<String, Pool>>);

impl Pools {
    async fn connection(&self, address: &str) -> Result<Object> {
        let pool = {
            let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match pools.get(address) {
                Some(pool) => pool.clone(),
                None => {
                    let pool = create_pool(address.parse()?)?;
                    pools.insert(address.to_owned(), pool.clone());
                    pool
                }
            }
        };
        Ok(pool.get().await?)
    }
}

fn create_pool(config: Config) -> Result<Pool> {
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Clean,
    };
    let manager = if config.get_ssl_mode() == SslMode::Disable {
        Manager::from_config(config, NoTls, recycling)
    } else {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Manager::from_config(
            config,
            tokio_postgres_rustls::MakeRustlsConnect::new(tls),
            recycling,
        )
    };
    Pool::builder(manager)
        .max_size(CONNECTIONS_PER_ADDRESS)
        .build()
        .context("cannot create the connection pool")
}

impl Instance {
    /// The error for an address that the component may not reach.
    fn refused(&self, address: &str) -> Option<Error> {
        let config: Config = match address.parse() {
            Ok(config) => config,
            Err(error) => {
                let error: tokio_postgres::Error = error;
                return Some(Error::ConnectionFailed(error.to_string()));
            }
        };
        let ports = config.get_ports();
        config
            .get_hosts()
            .iter()
            .enumerate()
            .find_map(|(index, host)| {
                let PgHost::Tcp(host) = host else {
                    let message = "Unix sockets are not supported on WebAssembly";
                    return Some(Error::ConnectionFailed(message.to_owned()));
                };
                let port = ports.get(index).map(|port| format!(":{port}"));
                let address = format!("{host}{}", port.unwrap_or_default());
                if self.component.allowed_hosts.allows(&address, "postgres") {
                    return None;
                }
                self.component.report_refused("postgres", &address);
                let message = format!("address postgres://{address} is not permitted");
                Some(Error::ConnectionFailed(message))
            })
    }
}

impl Host for Instance {}

impl HostConnection for Instance {
    async fn open(
        &mut self,
        address: String,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        if let Some(refused) = self.refused(&address) {
            return Ok(Err(refused));
        }
        match self.server.postgres.connection(&address).await {
            Ok(connection) => Ok(Ok(self.table.push(connection)?)),
            Err(error) => Ok(Err(Error::ConnectionFailed(format!("{error:?}")))),
        }
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<RowSet, Error>> {
        let connection = self.table.get(&connection)?;
        Ok(query(connection, &statement, &parameters).await)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let connection = self.table.get(&connection)?;
        Ok(execute(connection, &statement, &parameters).await)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        drop(self.table.delete(connection)?);
        Ok(())
    }
}

async fn execute(
    connection: &Object,
    statement: &str,
    parameters: &[ParameterValue],
) -> Result<u64, Error> {
    let parameters = parameters
        .iter()
        .map(parameter)
        .collect::<Result<Vec<_>>>()
        .map_err(|error| Error::ValueConversionFailed(format!("{error:?}")))?;
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters
        .iter()
        .map(|p| &**p as &(dyn ToSql + Sync))
        .collect();
    connection
        .as_ref()
        .execute(statement, &parameters)
        .await
        .map_err(query_failed)
}

async fn query(
    connection: &Object,
    statement: &str,
    parameters: &[ParameterValue],
) -> Result<RowSet, Error> {
    let parameters = parameters
        .iter()
        .map(parameter)
        .collect::<Result<Vec<_>>>()
        .map_err(|error| Error::BadParameter(format!("{error:?}")))?;
    let mut received = pin!(
        connection
            .as_ref()
            .query_raw(statement, parameters)
            .await
            .map_err(query_failed)?
    );
    let failed = |error: anyhow::Error| Error::QueryFailed(QueryError::Text(format!("{error:?}")));
    let mut columns = Vec::new();
    let mut rows = Vec::new();
    let mut size = size_of::<RowSet>();
    while let Some(row) = received
        .try_next()
        .await
        .map_err(|error| failed(error.into()))?
    {
        if rows.is_empty() {
            columns = columns_of(&row);
        }
        let values = (0..row.len())
            .map(|index| value(&row, index))
            .collect::<Result<Vec<_>>>()
            .map_err(failed)?;
        size += values.iter().map(value_size).sum::<usize>();
        if size > MAX_RESULT_BYTES {
            return Err(failed(anyhow::anyhow!(
                "query result exceeds limit of {MAX_RESULT_BYTES} bytes"
            )));
        }
        rows.push(values);
    }
    if rows.is_empty() {
        eprintln!("A query returned no rows, on which Spin 4.0 waits for ever: {statement}");
        let reason = "a query without rows, on which Spin 4.0 waits for ever";
        return Err(Error::Other(reason.to_owned()));
    }
    Ok(RowSet { columns, rows })
}

fn columns_of(row: &Row) -> Vec<Column> {
    row.columns()
        .iter()
        .map(|column| Column {
            name: column.name().to_owned(),
            data_type: data_type(column.type_()),
        })
        .collect()
}

fn query_failed(error: tokio_postgres::Error) -> Error {
    let as_text = format!("{error:?}");
    let Some(db) = error.as_db_error() else {
        return Error::QueryFailed(QueryError::Text(as_text));
    };
    let extras = [
        ("column", db.column().map(str::to_owned)),
        ("constraint", db.constraint().map(str::to_owned)),
        ("routine", db.routine().map(str::to_owned)),
        ("hint", db.hint().map(str::to_owned)),
        ("table", db.table().map(str::to_owned)),
        ("datatype", db.datatype().map(str::to_owned)),
        ("schema", db.schema().map(str::to_owned)),
        ("file", db.file().map(str::to_owned)),
        ("line", db.line().map(|line| line.to_string())),
        ("where_", db.where_().map(str::to_owned)),
    ];
    Error::QueryFailed(QueryError::DbError(DbError {
        as_text,
        severity: db.severity().to_owned(),
        code: db.code().code().to_owned(),
        message: db.message().to_owned(),
        detail: db.detail().map(str::to_owned),
        extras: extras
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect(),
    }))
}
