//! What is wrong with an input, and where.

use std::fmt;

/// How many violations of one kind are listed at most: a body or query of 64 KiB can hold thousands.
pub const MOST_VIOLATIONS: usize = 20;

/// Where in a request an invalid value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A JSON pointer into the body (RFC 6901), such as `/title`; the empty string is the whole body.
    Pointer(String),
    /// The name of a query parameter.
    Parameter(String),
    /// The name of a header field.
    Header(&'static str),
}

/// One invalid value: where it stands and what is wrong with it, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where the value stands.
    pub location: Location,
    /// What is wrong. Never repeats the value itself.
    pub detail: String,
}

impl Violation {
    /// A violation in the member `field` of the body's top-level object.
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        // RFC 6901 section 3: `~` and `/` are escaped in a pointer.
        let escaped = field.replace('~', "~0").replace('/', "~1");
        Self::pointer(format!("/{escaped}"), detail)
    }

    /// A violation at a JSON pointer.
    pub fn pointer(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            location: Location::Pointer(pointer.into()),
            detail: detail.into(),
        }
    }

    /// The same violation, for a body that is the value at `place` of a larger one.
    #[must_use]
    pub fn under(mut self, place: &str) -> Self {
        if let Location::Pointer(pointer) = &mut self.location {
            pointer.insert_str(0, place);
        }
        self
    }

    /// The same violation, for a part of the member `field` of the body's top-level object.
    #[must_use]
    pub fn inside(self, field: &str) -> Self {
        match self.location {
            Location::Pointer(pointer) => Self::pointer(format!("/{field}{pointer}"), self.detail),
            location => Self { location, ..self },
        }
    }

    /// Whether it is in the member `field` of the body's top-level object, or in a part of that.
    pub fn is_inside(&self, field: &str) -> bool {
        match &self.location {
            Location::Pointer(pointer) => pointer.split('/').nth(1) == Some(field),
            Location::Parameter(_) | Location::Header(_) => false,
        }
    }

    /// A violation in the query parameter `name`.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            location: Location::Parameter(name.to_owned()),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Pointer(pointer) if pointer.is_empty() => write!(formatter, "body: "),
            Location::Pointer(pointer) => write!(formatter, "{pointer}: "),
            Location::Parameter(name) => write!(formatter, "{name}: "),
            Location::Header(name) => write!(formatter, "{name}: "),
        }?;
        formatter.write_str(&self.detail)
    }
}
