//! What a mail client says before it has logged in. Read kindly: keywords in any case, blanks at either end, tabs and repeated
//! spaces as one; only the password behind PASS is taken as it stands.

use crate::line::word;
use crate::sasl;
use crate::secret::SecretBytes;

/// The longest line in octets, its terminator included. RFC 2449 asks for 255; long passwords need more.
pub const LINE_LIMIT: usize = 1024;

/// A command, as far as a login needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// A login by digest, which needs a password that we could read back.
    Apop,
    /// A mechanism, and perhaps the first SASL message at once.
    Auth {
        /// Empty in a bare `AUTH`, by which Outlook asks for the list.
        mechanism: &'a [u8],
        /// In base64.
        initial_response: Option<SecretBytes<'a>>,
    },
    /// What do you offer?
    Capa,
    /// STAT, RETR and the others that need a login first.
    Mailbox,
    /// RFC 1939 has it after a login only; some clients send it before.
    Noop,
    /// The password, blanks included.
    Pass(SecretBytes<'a>),
    /// The client leaves.
    Quit,
    /// The upgrade to TLS.
    Stls,
    /// None of the above.
    Unknown,
    /// The user name.
    User(&'a [u8]),
}

impl<'a> Command<'a> {
    /// Reads a line without its terminator.
    pub fn parse(line: &'a [u8]) -> Self {
        let Some((keyword, arguments)) = word(line) else { return Self::Unknown };
        match keyword.to_ascii_uppercase().as_slice() {
            b"APOP" => Self::Apop,
            b"AUTH" => {
                let (mechanism, initial_response) = sasl::auth_parameters(arguments);
                Self::Auth { mechanism, initial_response }
            }
            b"CAPA" => Self::Capa,
            b"DELE" | b"LAST" | b"LIST" | b"RETR" | b"RPOP" | b"RSET" | b"STAT" | b"TOP" | b"UIDL" => {
                Self::Mailbox
            }
            b"NOOP" => Self::Noop,
            // RFC 1939, section 7: a server may treat spaces in the argument of PASS as part of the password.
            b"PASS" => Self::Pass(SecretBytes::new(arguments.get(1..).unwrap_or_default())),
            b"QUIT" => Self::Quit,
            b"STLS" => Self::Stls,
            b"USER" => Self::User(arguments.trim_ascii()),
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Command;
    use crate::secret::SecretBytes;

    #[test]
    fn commands_are_read_kindly() {
        let auth = |mechanism, response: Option<&'static [u8]>| Command::Auth {
            mechanism,
            initial_response: response.map(SecretBytes::new),
        };
        let pass = |password: &'static [u8]| Command::Pass(SecretBytes::new(password));
        let table: [(&[u8], Command<'_>); 23] = [
            (b"USER tim@example.com", Command::User(b"tim@example.com")),
            (b"user \t tim ", Command::User(b"tim")),
            (b"USER", Command::User(b"")),
            (b"PASS tanstaaf", pass(b"tanstaaf")),
            (b"pass  two  spaces ", pass(b" two  spaces ")),
            (b"PASS\ttab", pass(b"tab")),
            (b"PASS", pass(b"")),
            (b"PASS ", pass(b"")),
            (b"AUTH", auth(b"", None)),
            (b"auth  plain", auth(b"plain", None)),
            (b"AUTH PLAIN AHRpbQB0YW5zdGFhZg==", auth(b"PLAIN", Some(b"AHRpbQB0YW5zdGFhZg=="))),
            (b"AUTH NTLM", auth(b"NTLM", None)),
            (b" CAPA ", Command::Capa),
            (b"STLS", Command::Stls),
            (b"APOP tim c4c9334bac560ecc979e58001b3e22fb", Command::Apop),
            (b"NOOP", Command::Noop),
            (b"quit", Command::Quit),
            (b"STAT", Command::Mailbox),
            (b"RPOP tim", Command::Mailbox),
            (b"LAST", Command::Mailbox),
            (b"XTND XMIT", Command::Unknown),
            (b"\0\xff", Command::Unknown),
            (b"", Command::Unknown),
        ];
        for (line, command) in table {
            assert_eq!(Command::parse(line), command, "{line:?}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        for line in [&b"PASS tanstaaf"[..], b"AUTH PLAIN tanstaaf"] {
            let command = format!("{:?}", Command::parse(line));
            assert!(!command.contains("116, 97, 110") && command.contains("SecretBytes(..)"), "{command}");
        }
    }
}
