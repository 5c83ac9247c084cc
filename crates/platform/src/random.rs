//! Randomness that nobody can guess.

use wasi::random::random::get_random_bytes;

/// Random bytes from the host. WASI requires them to be as good as those of a well-seeded cryptographic generator.
pub fn bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    let random = get_random_bytes(COUNT as u64);
    // The host returns as many bytes as asked for. If it did not, this would panic instead of leaving zeros.
    bytes.copy_from_slice(&random);
    bytes
}
