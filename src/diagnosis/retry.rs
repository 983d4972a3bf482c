//! Whether trying again helps, in words.

use super::{Diagnosis, Retry};

impl Diagnosis {
    /// Whether it is worth to try again, and after what, in a sentence.
    pub fn retry_in_words(&self) -> String {
        let after: Vec<_> = self.retry.iter().filter_map(|retry| after(*retry)).collect();
        match after.as_slice() {
            [] => "Trying again does not help before it is put right.".to_owned(),
            after => format!("Trying again helps {}.", after.join(", or ")),
        }
    }
}

fn after(retry: Retry) -> Option<&'static str> {
    match retry {
        Retry::Never => None,
        Retry::Wait => Some("after a while"),
        Retry::Admin => Some("when whoever is in charge has done something"),
        Retry::SignIn => Some("when the person has signed in again"),
        Retry::Once => Some("once, with a newer token, which Gatepost does by itself"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use crate::diagnosis::by_id;

    #[test]
    fn every_kind_of_retry_is_a_sentence() {
        for (id, expected) in [
            ("G40", "Trying again does not help before it is put right."),
            ("D71", "Trying again helps when the person has signed in again."),
            ("D109", "Trying again helps when whoever is in charge has done something, or after a while."),
        ] {
            assert_eq!(by_id(id).unwrap().retry_in_words(), expected, "{id}");
        }
    }
}
