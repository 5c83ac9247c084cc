//! A stack for one test.

use std::ops::Deref;
use std::sync::{Condvar, Mutex, PoisonError};

use e2e::asyncapi::CheckedStack;
use e2e::shared_stack;
use stack::StackOptions;

/// How many stacks run at once, whatever the number of test threads: each is five processes.
const AT_ONCE: usize = 2;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A running stack, which stops when it is dropped; then its events are checked.
pub struct OwnStack {
    stack: CheckedStack,
    // Dropped after the stack.
    _place: Place,
}

/// How many of the places a stack takes.
struct Place(usize);

impl Place {
    fn take(count: usize) -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running + count > AT_ONCE {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += count;
        Self(count)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        ENDED.notify_all();
    }
}

impl OwnStack {
    /// Starts a stack beside the shared one.
    pub fn start() -> Self {
        Self::with(|options| options)
    }

    /// Starts a stack beside the shared one, with further options.
    pub fn with(options: impl FnOnce(StackOptions) -> StackOptions) -> Self {
        Self::taking(1, options)
    }

    /// Starts a stack beside the shared one when no other test has one, for load: it logs no more than in production.
    pub fn alone(options: impl FnOnce(StackOptions) -> StackOptions) -> Self {
        Self::taking(AT_ONCE, |beside| {
            options(beside.variable("log_level", "info"))
        })
    }

    fn taking(places: usize, options: impl FnOnce(StackOptions) -> StackOptions) -> Self {
        let place = Place::take(places);
        match options(StackOptions::beside(shared_stack())).start() {
            Ok(stack) => Self {
                stack: CheckedStack::new(stack),
                _place: place,
            },
            Err(error) => panic!("the stack does not start: {error:#}"),
        }
    }
}

impl Deref for OwnStack {
    type Target = CheckedStack;

    fn deref(&self) -> &CheckedStack {
        &self.stack
    }
}

/// Requires that a command to a part succeeded.
#[track_caller]
pub fn done(result: anyhow::Result<()>) {
    if let Err(error) = result {
        panic!("{error:#}");
    }
}
