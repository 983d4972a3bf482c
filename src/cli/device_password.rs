//! The password that a device will type: made here and shown once, or taken over from standard input, so that a device keeps
//! the one it has.

use std::io::{Cursor, IsTerminal, Read, stdin};

use gatepost_protocol::secret::Secret;
use zeroize::Zeroizing;

use super::catch_all::Opens;
use super::{Exit, Failure, mailbox_password};
use crate::account::{Accounts, password};
use crate::store::Store;
use crate::store::credentials::NewCredential;

/// Fits into a POP3 line (1,024 octets) and, in base64, into an SMTP one (2,048).
const MAX_LEN: usize = 512;
/// What the panels of office devices take is seldom more.
const COMFORTABLE_LEN: usize = 20;

/// A credential that is ready for the store, and the password where it was made here.
pub(super) struct Prepared {
    pub(super) credential: NewCredential,
    pub(super) shown_once: Option<Secret<String>>,
}

/// Makes or takes over a password, unless the user name has it already.
pub(super) async fn prepare(
    store: &Store,
    provider: &str,
    opens: Opens,
    label: Option<String>,
    taken_over: Option<Secret<String>>,
) -> Result<Prepared, Failure> {
    let failed = |error: password::PasswordError| Failure::new(Exit::Failed, error);
    let Opens { user_name, mailbox } = opens;
    let made = taken_over.is_none();
    let password = taken_over.map_or_else(password::generate, Ok).map_err(failed)?;
    let password_hash = Accounts::new(store.clone())
        .hash_new_password(provider, &user_name, &password)
        .await
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(Prepared {
        credential: NewCredential { user_name, mailbox, password_hash, label },
        shown_once: made.then_some(password),
    })
}

/// Where a device's password comes from, if one is to be read: a person who types it is asked for it, and it is not shown.
pub(super) async fn input(is_read: bool) -> Result<Box<dyn Read>, Failure> {
    if is_read && stdin().is_terminal() {
        let line = mailbox_password::typed_unseen("The device's password (it is not shown): ").await?;
        return Ok(Box::new(Cursor::new(line)));
    }
    Ok(Box::new(stdin()))
}

/// Reads a password to its end; one line end behind it does not belong to it.
pub(super) fn read(mut input: impl Read) -> Result<Secret<String>, Failure> {
    let refuse = |text: &str| Failure::new(Exit::Failed, format!("the password on standard input {text}"));
    // One octet more than fits, with a line end, is enough to know that it is too long.
    let mut octets = Zeroizing::new(Vec::with_capacity(MAX_LEN + 3));
    input
        .by_ref()
        .take(MAX_LEN as u64 + 3)
        .read_to_end(&mut octets)
        .map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    let text = str::from_utf8(&octets).map_err(|_| refuse("is not UTF-8"))?;
    let password = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err(refuse("is empty"));
    }
    if password.len() > MAX_LEN {
        return Err(refuse(&format!("is longer than {MAX_LEN} octets")));
    }
    if password.contains(char::is_control) {
        return Err(refuse("has a control character in it, or more than one line"));
    }
    Ok(Secret::new(password.to_owned()))
}

/// A word of warning where devices may cut the password off.
pub(super) fn note(password: &Secret<String>) -> Option<String> {
    let characters = password.expose().chars().count();
    (characters > COMFORTABLE_LEN).then(|| {
        format!(
            "note: the password has {characters} characters; some devices take no more than {COMFORTABLE_LEN}"
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_the_password() {
        let longest = "a".repeat(MAX_LEN);
        for (input, expected) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            (" two words ", " two words "),
            ("schlüssel\n", "schlüssel"),
            (&format!("{longest}\r\n"), &longest),
        ] {
            assert_eq!(read(input.as_bytes()).unwrap().expose(), expected);
        }
    }

    #[test]
    fn what_no_device_can_type_is_refused_without_repeating_it() {
        let too_long = "tanstaaf".repeat(65);
        for (input, reason) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"\r\n", "is empty"),
            (b"tanstaaf\n\n", "control character"),
            (b"tanstaaf\nsecond line", "more than one line"),
            (b"tanst\0aaf", "control character"),
            (b"tanstaaf\xff", "not UTF-8"),
            (too_long.as_bytes(), "longer than 512"),
        ] {
            let message = read(input).unwrap_err().message;
            assert!(message.contains(reason), "{message}");
            assert!(!message.contains("tanst"), "{message}");
        }
    }

    #[test]
    fn a_long_password_is_taken_with_a_note_that_does_not_show_it() {
        assert_eq!(note(&Secret::new("a".repeat(20))), None);
        let note = note(&Secret::new("tanstaaf".repeat(3))).unwrap();
        assert!(note.contains("24 characters") && !note.contains("tanst"), "{note}");
    }
}
