//! The requests: those of the scripts that wrk was given.

use std::io::Write;

use load::plan::User;

pub(crate) const DUE: &str = "2030-01-15T09:00:00Z";

/// Writes the requests of one user.
pub(crate) struct Requests {
    host: String,
    users: Vec<(String, String)>,
}

impl Requests {
    pub(crate) fn new(address: std::net::SocketAddr, users: &[User]) -> Self {
        Self {
            host: address.to_string(),
            users: users
                .iter()
                .map(|user| (user.name.clone(), user.token.clone()))
                .collect(),
        }
    }

    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }

    /// Puts a request of a user into `into`, in place of what was there. `rest` follows the path of the user's tasks.
    pub(crate) fn write(
        &self,
        into: &mut Vec<u8>,
        method: &str,
        user: usize,
        rest: &str,
        body: &str,
    ) {
        let (name, token) = self
            .users
            .get(user)
            .map_or(("", ""), |(name, token)| (name, token));
        into.clear();
        let host = &self.host;
        // Writing to memory does not fail.
        let _ = write!(
            into,
            "{method} /api/{name}/tasks{rest} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        );
        if !body.is_empty() {
            let _ = write!(into, "Content-Type: application/json\r\n");
        }
        if !body.is_empty() || method == "POST" {
            let _ = write!(into, "Content-Length: {}\r\n", body.len());
        }
        let _ = write!(into, "\r\n{body}");
    }
}

/// One in ten repeats daily.
pub(crate) fn new_task(number: u64, due: bool) -> String {
    let recurring = if number.is_multiple_of(10) {
        r#"true,"recurring_interval":"daily""#
    } else {
        "false"
    };
    let due = if due {
        format!(r#""due_date":"{DUE}","#)
    } else {
        String::new()
    };
    format!(
        r#"{{"title":"Task {number}","description":"Made by the load","priority":"medium","tags":["load","w"],{due}"is_recurring":{recurring}}}"#
    )
}

/// What a mixed load does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    List,
    Create,
    Patch,
    Complete,
    Delete,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::List,
        Self::Create,
        Self::Patch,
        Self::Complete,
        Self::Delete,
    ];

    /// Of a number below 100.
    pub(crate) fn of(roll: u8) -> Self {
        match roll {
            0..50 => Self::List,
            50..70 => Self::Create,
            70..85 => Self::Patch,
            85..95 => Self::Complete,
            _ => Self::Delete,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Complete => "complete",
            Self::Delete => "delete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn one_task_in_ten_repeats() {
        let tasks: Vec<Value> = (1..=100)
            .map(|number| serde_json::from_str(&new_task(number, number % 2 == 0)).expect("JSON"))
            .collect();
        let recurring = tasks.iter().filter(|task| task["is_recurring"] == true);
        assert_eq!(recurring.count(), 10);
        assert_eq!(tasks[0].get("due_date"), None);
        assert_eq!(tasks[1]["due_date"], DUE);
        assert_eq!(tasks[9]["recurring_interval"], "daily");
    }

    #[test]
    fn the_mix_has_its_shares() {
        let share = |kind| (0..100).filter(|roll| Kind::of(*roll) == kind).count();
        assert_eq!(Kind::ALL.map(share), [50, 20, 15, 10, 5]);
    }

    #[test]
    fn a_request_has_the_length_of_its_body() {
        let users = [User {
            name: "u".into(),
            token: "t".into(),
        }];
        let requests = Requests::new(([127, 0, 0, 1], 80).into(), &users);
        let mut request = Vec::new();
        requests.write(&mut request, "PATCH", 0, "/1", "{}");
        assert_eq!(
            String::from_utf8(request).expect("text"),
            "PATCH /api/u/tasks/1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAuthorization: Bearer t\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        );
    }
}
