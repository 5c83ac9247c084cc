//! A dependency: exports one interface, imports what Rust's standard library does.

wit_bindgen::generate!({ path: "../wit", world: "library" });

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
}

export!(Greeter);
