//! A component that does what a test asks of it by path. See `../../../tests/conformance`.

mod outbound;
mod sql;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use spin_sdk::http::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};
use spin_sdk::http_component;

wit_bindgen::generate!({ path: "../wit", world: "front" });
use devhost::greeter::greeter;

#[http_component]
async fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    // Below the route: `/api/:user/echo` and `/echo` do the same.
    let action = path.rsplit('/').next().unwrap_or_default();
    match action {
        "headers" => {
            let pairs: Vec<_> = request
                .headers()
                .entries()
                .into_iter()
                .map(text_pair)
                .collect();
            let authority = request.authority();
            respond(
                out,
                200,
                &json!({ "headers": pairs, "authority": authority }).to_string(),
            )
            .await;
        }
        "drop-parent-first" => {
            // The headers belong to the request.
            let headers = request.headers();
            drop(request);
            drop(headers);
            respond(out, 200, "dropped").await;
        }
        "drop-child-first" => {
            let headers = request.headers();
            drop(headers);
            drop(request);
            respond(out, 200, "dropped").await;
        }
        "echo" => echo(request, out).await,
        "silent" => {}
        "trap" => panic!("asked to trap"),
        "trap-late" => {
            let response = OutgoingResponse::new(Fields::new());
            let mut body = response.take_body();
            out.set(response);
            body.send(b"begun".to_vec())
                .await
                .expect("the client is there");
            std::process::abort();
        }
        "print" => {
            println!("to stdout: {query}");
            eprintln!("to stderr: {query}");
            respond(out, 200, "printed").await;
        }
        "hold" => {
            std::thread::sleep(Duration::from_millis(query.parse().unwrap_or(0)));
            respond(out, 200, "held").await;
        }
        "late" => {
            println!("begun: {query}");
            std::thread::sleep(Duration::from_millis(300));
            respond(out, 200, "late").await;
            println!("ended: {query}");
        }
        "after" => {
            respond(out, 202, "answered").await;
            std::thread::sleep(Duration::from_millis(300));
            println!("after the answer: {query}");
        }
        "variable" => {
            let answer = match spin_sdk::variables::get(query) {
                Ok(value) => value,
                Err(error) => format!("{error:?}"),
            };
            respond(out, 200, &answer).await;
        }
        "environment" => {
            respond(
                out,
                200,
                &json!(std::env::vars().collect::<Vec<_>>()).to_string(),
            )
            .await
        }
        "greet" => respond(out, 200, &greeter::greet(query)).await,
        "greet-environment" => respond(out, 200, &format!("{:?}", greeter::environment())).await,
        "greet-call-out" => respond(out, 200, &greeter::call_out(query).to_string()).await,
        "fetch" => respond(out, 200, &outbound::fetch(query).await).await,
        "fetch-impatiently" => respond(out, 200, &outbound::fetch_impatiently(query)).await,
        "sql-types" => {
            respond(
                out,
                200,
                &sql::types().unwrap_or_else(|error| format!("{error:?}")),
            )
            .await
        }
        "sql-two-pools" => respond(out, 200, &sql::two_pools()).await,
        "sql" => respond(out, 200, &sql::run(query)).await,
        "sql-hold" => respond(out, 200, &sql::hold(query)).await,
        _ => respond(out, 404, "no such action").await,
    }
}

fn text_pair((name, value): (String, Vec<u8>)) -> (String, String) {
    (name, String::from_utf8_lossy(&value).into_owned())
}

async fn respond(out: ResponseOutparam, status: u16, body: &str) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("a valid status");
    let mut stream = response.take_body();
    out.set(response);
    // The client may be gone: what comes after the answer is done all the same.
    drop(stream.send(body.as_bytes().to_vec()).await);
}

/// Sends each piece of the body back as it comes.
async fn echo(request: IncomingRequest, out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let mut answer = response.take_body();
    let mut body = request.into_body_stream();
    out.set(response);
    while let Some(Ok(piece)) = body.next().await {
        if answer.send(piece).await.is_err() {
            break;
        }
    }
}
