//! A dependency: exports one interface, imports what Rust's standard library does.

wit_bindgen::generate!({ path: "../wit", world: "library" });

use wasi::http::outgoing_handler::handle;
use wasi::http::types::{Fields, OutgoingRequest};

use exports::devhost::greeter::greeter::Guest;

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> String {
        println!("greeting {name}");
        format!("Hello, {name}!")
    }

    fn environment() -> Vec<(String, String)> {
        std::env::vars().collect()
    }

    fn call_out(authority: String) -> bool {
        let request = OutgoingRequest::new(Fields::new());
        request.set_authority(Some(&authority)).is_ok()
            && request.set_path_with_query(Some("/")).is_ok()
            && handle(request, None).is_ok()
    }
}

export!(Greeter);
