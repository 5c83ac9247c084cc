//! What is known of a record that no handler could deal with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

/// The topic of a dead letter whose record did not say where it came from.
pub const UNKNOWN_TOPIC: &str = "unknown";

/// How the bytes of a record are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// They are text.
    #[serde(rename = "utf-8")]
    Utf8,
    /// They are not.
    #[serde(rename = "base64")]
    Base64,
}

/// What chose the partition of a record, and is to choose it again: the event's own word, else whose event it is.
pub fn record_key(record: &[u8], user: Option<&str>) -> Option<String> {
    let event: Value = serde_json::from_slice(record).unwrap_or_default();
    let key = event.get("partitionkey").and_then(Value::as_str);
    key.or(user).map(str::to_owned)
}

/// The bytes of a record that were read, as text where they are; `is_cut` says that there are more, so that the last character
/// may be a part of one, which is left out.
pub fn shown(bytes: &[u8], is_cut: bool) -> (Encoding, String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Encoding::Utf8, text.to_owned()),
        Err(error) if is_cut && error.error_len().is_none() => {
            let whole = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            (Encoding::Utf8, whole.into_owned())
        }
        Err(_) => (Encoding::Base64, STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_key_is_the_events_own_or_its_user() {
        for (record, user, key) in [
            (r#"{"partitionkey": "a"}"#, Some("b"), Some("a")),
            (r#"{"partitionkey": 7}"#, Some("b"), Some("b")),
            ("no json", Some("b"), Some("b")),
            ("[]", None, None),
        ] {
            assert_eq!(
                record_key(record.as_bytes(), user).as_deref(),
                key,
                "{record}"
            );
        }
    }

    proptest! {
        #[test]
        fn text_is_shown_as_text_wherever_it_is_cut(text in ".*", cut in 0_usize..40) {
            let bytes = &text.as_bytes()[..cut.min(text.len())];
            let (encoding, shown) = shown(bytes, bytes.len() < text.len());
            prop_assert_eq!(encoding, Encoding::Utf8);
            prop_assert!(text.starts_with(&shown));
            prop_assert!(bytes.len() - shown.len() < 4);
        }

        #[test]
        fn no_byte_is_lost(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let (encoding, shown) = shown(&bytes, false);
            let read = match encoding {
                Encoding::Utf8 => shown.into_bytes(),
                Encoding::Base64 => STANDARD.decode(shown).unwrap(),
            };
            prop_assert_eq!(read, bytes);
        }
    }
}
