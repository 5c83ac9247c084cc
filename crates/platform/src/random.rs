//! Randomness that nobody can guess.

use wasi::random::random::get_random_bytes;

/// Random bytes of the host, which WASI requires to be as good as those of a cryptographic generator that was seeded well.
pub fn bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    let random = get_random_bytes(COUNT as u64);
    // The host gives as many as were asked for; if it did not, this would panic rather than leave zeros.
    bytes.copy_from_slice(&random);
    bytes
}
