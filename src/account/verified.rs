//! [`VerifiedPasswords`]: what Argon2id has found right within the last hour, so that a device pays for it once and not at every
//! login.
//!
//! Rules: a wrong password is never here. What was asked is kept as an HMAC under a key that this process alone has, never as a
//! password or a hash of it alone. The stored hashes of all candidates are part of the question, and they are read at every login: whoever
//! changes, adds or revokes one, in whichever process, has made it another question. Nothing but another run prolongs an answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use gatepost_protocol::secret::Secret;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::CredentialId;

/// How long an answer is good, counted from the Argon2 run that gave it.
const REMEMBERED: Duration = Duration::from_hours(1);

/// Credentials that are remembered at once, at some 100 octets each. More than a store is likely to have.
const MOST: usize = 10_000;

/// The passwords, each by the credential that it opens: one place for each, so that whoever knows one right password, and types
/// it behind as many user names as he likes, takes nobody else's place.
pub(super) struct VerifiedPasswords {
    /// Of this process alone; its memory is wiped when it is dropped. Without one, because the system has no random numbers, nothing is
    /// remembered.
    key: Option<hmac::Key>,
    right: Mutex<HashMap<CredentialId, Right>>,
}

/// Whether a password has one of certain hashes.
#[derive(Clone, Copy)]
pub(super) struct Question([u8; 32]);

/// The password that was right for a credential.
struct Right {
    question: Question,
    until: Instant,
}

impl VerifiedPasswords {
    /// With nothing remembered, under a new key.
    pub(super) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        Self { key, right: Mutex::default() }
    }

    /// The question; `None` where none can be remembered.
    pub(super) fn question(&self, password: &Secret<String>, hashes: &[Secret<String>]) -> Option<Question> {
        let mut signed = hmac::Context::with_key(self.key.as_ref()?);
        // No PHC string has a NUL in it, so no two questions are the same octets.
        for hash in hashes {
            signed.update(hash.expose().as_bytes());
            signed.update(b"\0");
        }
        signed.update(b"\0");
        signed.update(password.expose().as_bytes());
        signed.sign().as_ref().try_into().ok().map(Question)
    }

    /// Which of the credentials the password was right for when that was asked before.
    pub(super) fn answer(
        &self,
        question: &Question,
        credentials: impl IntoIterator<Item = CredentialId>,
        now: Instant,
    ) -> Option<usize> {
        let right = self.right();
        let is_known = |credential| {
            let known: Option<&Right> = right.get(&credential);
            known.is_some_and(|known| now < known.until && known.question.is(question))
        };
        credentials.into_iter().position(is_known)
    }

    /// Keeps what Argon2 has found, from `now` on.
    pub(super) fn remember(&self, question: Question, credential: CredentialId, now: Instant) {
        let mut right = self.right();
        if right.len() >= MOST && !right.contains_key(&credential) {
            right.retain(|_, known| now < known.until);
            // The one that would have to pay again first.
            let oldest = right.iter().min_by_key(|(_, known)| known.until).map(|(&credential, _)| credential);
            if let Some(oldest) = oldest.filter(|_| right.len() >= MOST) {
                right.remove(&oldest);
            }
        }
        right.insert(credential, Right { question, until: now + REMEMBERED });
    }

    fn right(&self) -> MutexGuard<'_, HashMap<CredentialId, Right>> {
        // Nothing under this lock can leave the map half changed.
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A count only.
impl fmt::Debug for VerifiedPasswords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifiedPasswords({})", self.right().len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn hashes(texts: &[&str]) -> Vec<Secret<String>> {
        texts.iter().map(|text| secret(text)).collect()
    }

    #[test]
    fn only_the_same_password_against_the_same_hashes_is_the_same_question() {
        let (verified, now) = (VerifiedPasswords::new(), Instant::now());
        let ask = |password: &str, stored: &[&str]| {
            let question = verified.question(&secret(password), &hashes(stored)).unwrap();
            verified.answer(&question, (1..).take(stored.len()).map(CredentialId), now)
        };
        assert_eq!(ask("right", &["$a", "$b"]), None);
        let question = verified.question(&secret("right"), &hashes(&["$a", "$b"])).unwrap();
        verified.remember(question, CredentialId(2), now);
        for (password, stored, expected) in [
            ("right", &["$a", "$b"][..], Some(1)),
            ("Right", &["$a", "$b"], None),
            ("", &["$a", "$b"], None),
            ("$bright", &["$a"], None),
            ("right", &["$a$b"], None),
            ("right", &["$a", "$c"], None),
            ("right", &["$b", "$a"], None),
            ("right", &["$a", "$b", "$c"], None),
            ("right", &["$b"], None),
            ("right", &[], None),
        ] {
            assert_eq!(ask(password, stored), expected, "{password:?} {stored:?}");
        }
        // The credential is another one now, with the same hash.
        let question = verified.question(&secret("right"), &hashes(&["$a", "$b"])).unwrap();
        assert_eq!(verified.answer(&question, [CredentialId(1), CredentialId(3)], now), None);
        let other = VerifiedPasswords::new();
        let same = other.question(&secret("right"), &hashes(&["$a", "$b"])).unwrap();
        assert!(!same.is(&question), "each process has a key of its own");
    }

    #[test]
    fn an_answer_ends_an_hour_after_its_run_however_often_it_is_asked() {
        let (verified, start) = (VerifiedPasswords::new(), Instant::now());
        let question = verified.question(&secret("right"), &hashes(&["$a"])).unwrap();
        verified.remember(question, CredentialId(1), start);
        for (minutes, expected) in [(0, Some(0)), (30, Some(0)), (59, Some(0)), (60, None), (90, None)] {
            let now = start + Duration::from_mins(minutes);
            assert_eq!(verified.answer(&question, [CredentialId(1)], now), expected, "{minutes}");
        }
    }

    #[test]
    fn there_are_never_more_than_the_bound_and_a_known_password_takes_one_place_alone() {
        let (verified, start) = (VerifiedPasswords::new(), Instant::now());
        let question =
            |number: i64| verified.question(&secret("p"), &hashes(&[&number.to_string()])).unwrap();
        let most = i64::try_from(MOST).unwrap();
        for number in 0..most {
            let at = start + Duration::from_millis(number.unsigned_abs());
            verified.remember(question(number), CredentialId(number), at);
        }
        let now = start + Duration::from_mins(1);
        // Of the password of a whole domain, behind one mailbox after the other.
        for mailbox in 0..100 {
            verified.remember(question(-mailbox), CredentialId(7), now);
        }
        let is_known = |number| verified.answer(&question(number), [CredentialId(number)], now).is_some();
        assert_eq!((0..most).filter(|&number| is_known(number)).count(), MOST - 1, "all but its own");
        verified.remember(question(most), CredentialId(most), now);
        assert_eq!(verified.right().len(), MOST);
        assert!(is_known(most) && !is_known(0) && is_known(1), "the oldest one made room");
        let later = start + REMEMBERED + Duration::from_secs(30);
        verified.remember(question(most + 1), CredentialId(most + 1), later);
        assert_eq!(verified.right().len(), 3, "those that have ended make room first");
    }

    #[test]
    fn debug_shows_a_count_alone() {
        let verified = VerifiedPasswords::new();
        let question = verified.question(&secret("tanstaaf"), &hashes(&["$tanstaaf"])).unwrap();
        verified.remember(question, CredentialId(1), Instant::now());
        assert_eq!(format!("{verified:?}"), "VerifiedPasswords(1)");
    }
}
