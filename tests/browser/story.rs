//! Running a story, and what it asks of the harness meanwhile.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use e2e::test_user::TestUser;
use serde_json::{Value, json};
use stack::browser::Browser;
use stack::report::Report;
use stack::{process, workspace};

/// How long a story may take, however slow the machine is.
const LIMIT: Duration = Duration::from_secs(120);

/// Set to `update`, the documents' pictures are those of this run.
const PICTURES: &str = "PICTURES";

/// The browser of this machine.
///
/// # Panics
///
/// Where there is none, with how to get one.
pub fn browser() -> &'static Browser {
    static BROWSER: OnceLock<Browser> = OnceLock::new();
    BROWSER.get_or_init(|| match Browser::prepare(&Report::silent()) {
        Ok(browser) => browser,
        Err(error) => panic!("{error:#}"),
    })
}

/// Where the documents' pictures are.
pub fn documents_pictures() -> PathBuf {
    workspace::root().join("docs/pictures")
}

/// Tells a story of this user, who can ask for the events of theirs on Kafka.
pub fn tell(name: &str, todo: &TestUser) {
    tell_with(name, todo, |what, _| panic!("nobody can do {what:?}"));
}

/// Tells a story that asks for what `answer` does: what, and of which.
pub fn tell_with(name: &str, todo: &TestUser, mut answer: impl FnMut(&str, &Value) -> Value) {
    let browser = browser();
    let is_update = env::var_os(PICTURES).is_some_and(|value| value == "update");
    let pictures = if is_update {
        documents_pictures()
    } else {
        workspace::state_dir().join("test/pictures")
    };
    let given = json!({
        "url": todo.stack().api_url,
        "user": todo.user(),
        "token": todo.token(),
        "chromium": browser.program,
        "packages": browser.packages,
        "pictures": pictures,
        "failures": workspace::state_dir().join("test/pictures"),
        "root": workspace::root(),
    });
    let mut command = Command::new("node");
    command
        .args(["run.js", name])
        .current_dir(&browser.stories)
        .env("STORY", given.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!("node does not start: {error}"),
    };
    let mut respond = |what: &str, of: &Value| match what {
        "published" => json!(todo.published_events()),
        _ => answer(what, of),
    };
    let told = follow(child, &mut respond);
    assert!(told, "the story {name} did not end well; see above");
}

/// Passes on what the story says, answers what it asks; whether it ended well and in time.
fn follow(mut child: Child, answer: &mut dyn FnMut(&str, &Value) -> Value) -> bool {
    let (Some(stdout), Some(mut stdin)) = (child.stdout.take(), child.stdin.take()) else {
        return false;
    };
    let pid = child.id();
    let (over, is_over) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if is_over.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("the story took longer than {} s", LIMIT.as_secs());
            process::terminate(pid);
        }
    });
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Some(asked) = line.strip_prefix('@') {
            let asked: Value = serde_json::from_str(asked).unwrap_or_default();
            let given = answer(asked[0].as_str().unwrap_or_default(), &asked[1]);
            let _ = writeln!(stdin, "{given}");
        } else if line.starts_with("  ") {
            // What was measured is to be seen where all is well, too.
            let _ = writeln!(io::stderr(), "{line}");
        } else {
            println!("{line}");
        }
    }
    drop(over);
    let status = child.wait();
    watch.join().is_ok() && status.is_ok_and(|status| status.success())
}
