//! Who a client is and what it may, as a token says.

use domain::user_id::UserId;
use serde::Deserialize;
use serde_json::Value;

/// The role of those who may use the operator's routes, in the claim `roles`.
pub const OPERATOR: &str = "operator";

/// A client whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The user that the token names.
    pub user: UserId,
    /// Whether the token has the role [`OPERATOR`].
    pub is_operator: bool,
}

/// The claim `roles`. One that is no array, and whatever in it is no text, gives no role; for a user's own routes such a token
/// is as good as any.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Roles(Value);

impl Roles {
    pub(crate) fn has(&self, role: &str) -> bool {
        let roles = self.0.as_array();
        roles.is_some_and(|roles| roles.iter().any(|each| each == role))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_member_of_the_array_is_a_role() {
        let is_operator = |claim: Value| Roles(claim).has(OPERATOR);
        for claim in [json!(["operator"]), json!(["x", 7, "operator"])] {
            assert!(is_operator(claim.clone()), "{claim}");
        }
        for claim in [
            json!(null),
            json!("operator"),
            json!([]),
            json!(["Operator"]),
            json!(["operator "]),
            json!([["operator"]]),
            json!({"operator": true}),
            json!(true),
        ] {
            assert!(!is_operator(claim.clone()), "{claim}");
        }
    }
}
