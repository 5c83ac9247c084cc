//! The app finds its database, and both know whom they talk to.

use sha1::{Digest, Sha1};

use crate::layer::{Layer, file_text, scalar};

#[test]
fn the_database_is_where_the_app_looks_for_it() {
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        let value = |name: &str| {
            let given = app.list("/spec/variables").iter();
            let mut given = given.filter(|each| each["name"] == name);
            given
                .next()
                .map(|each| scalar(&each["value"]))
                .unwrap_or_default()
        };
        let postgres = layer.beside("postgres");
        let pooler = postgres.find("Pooler", "todo-events-db-pooler");
        let namespace = pooler.text_at("/metadata/namespace");
        assert_eq!(
            value("database_authority"),
            format!("{}.{namespace}.svc:5432", pooler.name()),
            "{}",
            app.place()
        );
        let url = value("database_url");
        let cluster = postgres.find("Cluster", &pooler.text_at("/spec/cluster/name"));
        let database = cluster.text_at("/spec/bootstrap/initdb/database");
        assert!(
            url.contains(&format!("@$(SPIN_VARIABLE_DATABASE_AUTHORITY)/{database}?")),
            "{}: {url}",
            app.place()
        );
        assert!(pooler.number_at("/spec/pgbouncer/parameters/max_prepared_statements") > 0);
        let jobs = postgres.kind("Job");
        let arguments = jobs[0].text_at("/spec/template/spec/containers/0/args");
        assert!(
            arguments.contains(&format!(
                "@{}-rw.{namespace}.svc:5432/{database}?",
                cluster.name()
            )),
            "{}: {arguments}",
            jobs[0].place()
        );
    }
}

/// The file name by which OpenSSL finds an authority with a common name and nothing else: four bytes of the SHA-1 of the
/// name's DER form, in lower case and without its outermost header.
fn hash_of_name(common_name: &str) -> String {
    let text = common_name.to_lowercase();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    let tagged = |tag: u8, bytes: &[u8]| [&[tag, length(bytes)], bytes].concat();
    let identifier = [0x06, 0x03, 0x55, 0x04, 0x03];
    let value = tagged(0x0c, text.as_bytes());
    let name = tagged(0x31, &tagged(0x30, &[&identifier[..], &value].concat()));
    let digest = Sha1::digest(name);
    digest[..4]
        .iter()
        .rev()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Spin trusts the authorities in a folder of the system, which has the one that CloudNativePG issues certificates with.
#[test]
fn the_app_knows_the_databases_certificate_authority() {
    for layer in Layer::named("app") {
        let app = layer.find("SpinApp", "todo-events");
        let place = app.place();
        let postgres = layer.beside("postgres");
        let cluster = postgres.find("Cluster", "todo-events-db");
        let secret = cluster.text_at("/spec/certificates/serverCASecret");
        let names = cluster.list("/spec/certificates/serverAltDNSNames");
        let variables = app.list("/spec/variables").iter();
        let value = |name: &str| {
            let found = variables.clone().find(|each| each["name"] == name);
            found.map(|each| scalar(&each["value"])).unwrap_or_default()
        };
        assert!(
            value("database_url").ends_with("?sslmode=require"),
            "{place}"
        );
        let authority = value("database_authority");
        let host = authority.split(':').next().unwrap_or_default();
        assert!(
            names.iter().any(|name| name == host),
            "{}: {names:?} has no {host}",
            cluster.place()
        );
        let pooler = postgres.find("Pooler", "todo-events-db-pooler");
        assert_eq!(
            pooler.text_at("/spec/pgbouncer/parameters/client_tls_sslmode"),
            "require"
        );
        let volumes = app.list("/spec/volumes").iter();
        let mut volumes =
            volumes.filter(|volume| volume["secret"]["secretName"] == secret.as_str());
        let Some(volume) = volumes.next() else {
            panic!("{place}: {secret} is no volume");
        };
        // The key that goes with it is nobody's business here.
        assert_eq!(
            volume["secret"]["items"].to_string(),
            r#"[{"key":"ca.crt","path":"ca.crt"}]"#,
            "{place}"
        );
        let mounts = app.list("/spec/volumeMounts").iter();
        let mount = mounts.filter(|mount| mount["name"] == volume["name"]);
        let paths: Vec<String> = mount.map(|mount| scalar(&mount["mountPath"])).collect();
        let hash = hash_of_name("todo-events-db-ca");
        assert_eq!(paths, [format!("/etc/ssl/certs/{hash}.0")], "{place}");
    }
    for document in ["k8s/README.md", "docs/quickstart.md"] {
        assert!(
            file_text(document).contains("-subj /CN=todo-events-db-ca"),
            "{document} makes no authority of this name"
        );
    }
}

/// Whether the Job has the migrations: they are in its image, all that lie in the folder.
#[test]
fn the_job_runs_the_migrations_of_its_image() {
    let container = file_text("migrations/Containerfile");
    assert!(
        container.contains("\nCOPY *.sql /migrations/\n"),
        "{container}"
    );
    assert!(
        container.contains("ENTRYPOINT [\"migrate\", \"-path=/migrations\"]"),
        "{container}"
    );
    for layer in Layer::named("postgres") {
        let job = layer.find("Job", "todo-events-migrations");
        let arguments = job.list("/spec/template/spec/containers/0/args");
        assert_eq!(arguments.last().map(scalar).as_deref(), Some("up"));
        // The role's limit would end an index that is made concurrently, in whose file no SET can stand.
        let database = scalar(&arguments[0]);
        assert!(database.ends_with("&statement_timeout=0"), "{database}");
        // Who waits for the Job finds it for a day.
        assert!(job.number_at("/spec/ttlSecondsAfterFinished") >= 86_400);
    }
}
