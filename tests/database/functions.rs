//! The files in `migrations/functions` have the same text as the functions that the migrations released.

use std::collections::BTreeMap;

use postgres::Client;

use crate::scratch_database::{ScratchDatabase, execute, files, read};

/// The definition of every function, by its name and arguments.
fn definitions(client: &mut Client) -> BTreeMap<String, String> {
    let rows = client.query(
        "SELECT oid::regprocedure::text, pg_get_functiondef(oid)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        &[],
    );
    match rows {
        Ok(rows) => rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn the_function_files_have_the_text_that_the_migrations_released() {
    let database = ScratchDatabase::create();
    let mut client = database.connect();
    let released = definitions(&mut client);
    assert!(released.len() > 30, "{released:?}");
    let mut texts = String::from("BEGIN; SET LOCAL check_function_bodies = off;");
    for file in files("migrations/functions", ".sql") {
        texts.push_str(&read(&file));
    }
    execute(&mut client, &texts);
    // A function without a file keeps the catalogue row that a migration wrote.
    let rows = client.query(
        "SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND xmin <> pg_current_xact_id()::xid",
        &[],
    );
    let untouched: Vec<String> = match rows {
        Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(untouched, Vec::<String>::new(), "no file has them");
    let files = definitions(&mut client);
    for (name, definition) in &files {
        assert_eq!(
            released.get(name),
            Some(definition),
            "a migration has to release {name}"
        );
    }
    assert_eq!(files.len(), released.len());
}
