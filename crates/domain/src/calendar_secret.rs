//! The secret in the address of a calendar.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The part of a calendar's address that nobody can guess: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct CalendarSecret([u8; Self::BYTES]);

impl CalendarSecret {
    /// How many bytes it has.
    pub const BYTES: usize = 32;

    /// How many characters it has in an address, letters and digits, `-` and `_`.
    pub const CHARACTERS: usize = 43;

    /// From random bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Parses it from an address. `None` if the text cannot be a secret.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// As it stands in an address.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The bytes, to be hashed.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CalendarSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CalendarSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_cannot_be_a_calendar_secret_is_refused() {
        let secret = CalendarSecret::new([7; 32]).expose();
        assert!(CalendarSecret::parse(&secret).is_some());
        // The last character has two bits that must be zero: one secret has one form.
        let other_form = secret[..42].to_owned() + "d";
        for text in [
            "",
            "x",
            &secret[1..],
            &format!("{secret}A"),
            &format!("{secret}="),
            &other_form,
            &"é".repeat(21),
        ] {
            assert_eq!(CalendarSecret::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_calendar_secret_is_not_printed() {
        assert_eq!(
            format!("{:?}", CalendarSecret::new([7; 32])),
            "CalendarSecret(…)"
        );
    }

    proptest! {
        #[test]
        fn a_calendar_secret_survives_its_address(bytes: [u8; 32]) {
            let secret = CalendarSecret::new(bytes);
            let text = secret.expose();
            prop_assert_eq!(text.len(), CalendarSecret::CHARACTERS);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert_eq!(CalendarSecret::parse(&text), Some(secret));
        }
    }
}
