//! What a mail client says before it has logged in. Read kindly: verbs in any case, blanks at either end, tabs and repeated
//! spaces as one, and nothing made of the names that clients give themselves.

use crate::line::word;
use crate::sasl;
use crate::secret::SecretBytes;

/// The longest line in octets, its terminator included. RFC 5321 asks for 512; some devices send longer names.
pub const LINE_LIMIT: usize = 2048;

/// A command, as far as a login needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// A mechanism, and perhaps the first SASL message at once.
    Auth {
        /// Empty in a bare `AUTH`.
        mechanism: &'a [u8],
        /// In base64.
        initial_response: Option<SecretBytes<'a>>,
    },
    /// The client's name is not looked at: it may be missing, an address without brackets, or not ASCII.
    Ehlo,
    /// As above.
    Helo,
    /// With or without a topic.
    Help,
    /// MAIL, RCPT and the others that need a login first.
    Mail,
    /// With or without an argument.
    Noop,
    /// The client leaves.
    Quit,
    /// There is nothing to reset before a login.
    Rset,
    /// The upgrade to TLS; RFC 3207 gives it no parameters.
    StartTls {
        /// Whether it has some all the same.
        with_parameters: bool,
    },
    /// None of the above.
    Unknown,
    /// With or without an argument.
    Vrfy,
}

impl<'a> Command<'a> {
    /// Reads a line without its terminator.
    pub fn parse(line: &'a [u8]) -> Self {
        let Some((verb, parameters)) = word(line) else { return Self::Unknown };
        let parameters = parameters.trim_ascii();
        match verb.to_ascii_uppercase().as_slice() {
            b"AUTH" => {
                let (mechanism, initial_response) = sasl::auth_parameters(parameters);
                Self::Auth { mechanism, initial_response }
            }
            b"EHLO" => Self::Ehlo,
            b"HELO" => Self::Helo,
            b"HELP" => Self::Help,
            b"MAIL" | b"RCPT" | b"DATA" | b"BDAT" | b"BURL" | b"ETRN" | b"EXPN" => Self::Mail,
            b"NOOP" => Self::Noop,
            b"QUIT" => Self::Quit,
            b"RSET" => Self::Rset,
            b"STARTTLS" => Self::StartTls { with_parameters: !parameters.is_empty() },
            b"VRFY" => Self::Vrfy,
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
        let table: [(&[u8], Command<'_>); 26] = [
            (b"EHLO client.example.com", Command::Ehlo),
            (b"ehlo", Command::Ehlo),
            (b"  EHLO\t[192.0.2.1] ", Command::Ehlo),
            (b"EHLO caf\xe9_7", Command::Ehlo),
            (b"Helo 192.0.2.1", Command::Helo),
            (b"AUTH PLAIN", auth(b"PLAIN", None)),
            (b"auth plain AHRpbQB0YW5zdGFhZg==", auth(b"plain", Some(b"AHRpbQB0YW5zdGFhZg=="))),
            (b"AUTH \t LOGIN  \tdGlt \t", auth(b"LOGIN", Some(b"dGlt"))),
            (b"AUTH LOGIN =", auth(b"LOGIN", Some(b"="))),
            (b"AUTH PLAIN AHRp bQB0", auth(b"PLAIN", Some(b"AHRp bQB0"))),
            (b"AUTH", auth(b"", None)),
            (b"AUTH ", auth(b"", None)),
            (b"MAIL FROM: <a@example.com>", Command::Mail),
            (b"MAIL", Command::Mail),
            (b"rcpt to:<a@example.com>", Command::Mail),
            (b"DATA", Command::Mail),
            (b"NOOP ignored", Command::Noop),
            (b"RSET", Command::Rset),
            (b"VRFY a", Command::Vrfy),
            (b"HELP AUTH", Command::Help),
            (b"QUIT ", Command::Quit),
            (b"StartTLS", Command::StartTls { with_parameters: false }),
            (b"STARTTLS now", Command::StartTls { with_parameters: true }),
            (b"STARTTLSX", Command::Unknown),
            (b"\0\xff", Command::Unknown),
            (b"", Command::Unknown),
        ];
        for (line, command) in table {
            assert_eq!(Command::parse(line), command, "{line:?}");
        }
    }

    #[test]
    fn debug_shows_no_initial_response() {
        let command = format!("{:?}", Command::parse(b"AUTH PLAIN c2VjcmV0"));
        assert!(!command.contains("c2Vj") && command.contains("SecretBytes(..)"), "{command}");
    }
}
