//! Whether a call comes from the sidecar.

use spin_sdk::http::Method;
use subtle::ConstantTimeEq;

use crate::configuration;
use crate::http::Request;
use crate::problem::Problem;

/// The header in which Dapr sends the app's token.
const HEADER: &str = "dapr-api-token";

/// Accepts only a `POST` with the token in `app_api_token`, or in `app_api_token_previous` while tokens are being
/// replaced.
///
/// # Errors
///
/// 401 for any other caller, 405 for another method.
pub fn authorize(request: &Request) -> Result<(), Problem> {
    let sent = request.header(HEADER);
    if !is_valid(sent.as_deref(), &configuration::variable("app_api_token")?)
        && !is_valid(
            sent.as_deref(),
            &configuration::variable("app_api_token_previous")?,
        )
    {
        return Err(Problem::not_the_sidecar());
    }
    match request.method() {
        Method::Post => Ok(()),
        _ => Err(Problem::method_not_allowed("POST")),
    }
}

/// Whether `sent` is the app's token. A configured token shorter than 16 bytes refuses every call. Takes the same time
/// wherever the two tokens differ.
fn is_valid(sent: Option<&str>, configured: &str) -> bool {
    let sent = sent.unwrap_or_default().as_bytes();
    configured.len() >= 16 && bool::from(sent.ct_eq(configured.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn only_the_apps_token_is_accepted() {
        let token = "0123456789abcdef";
        assert!(is_valid(Some(token), token));
        for sent in [
            None,
            Some(""),
            Some("0123456789abcde"),
            Some("0123456789abcdeF"),
            Some("0123456789abcdef0"),
        ] {
            assert!(!is_valid(sent, token), "{sent:?}");
        }
    }

    #[test]
    fn a_short_or_missing_token_refuses_every_call() {
        assert!(!is_valid(Some("short"), "short"));
        assert!(!is_valid(Some(""), ""));
        assert!(!is_valid(None, ""));
    }
}
