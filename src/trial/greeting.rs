//! [`Greeting`]: what a mail server says before anybody logs in: its greeting, its capabilities in clear and inside TLS. The same
//! dialogue for SMTP, POP3 and IMAP, because only three commands and the look of an answer differ. Nothing secret is said.

use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::{Dialogue, Output, Step};
use gatepost_protocol::smtp::reply::LINE_LIMIT;

use crate::session::upstream::OWN_NAME;

/// More than any server offers.
const MOST: usize = 256;

/// What a server offers, as it says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Before TLS; empty where TLS comes first.
    pub in_clear: Vec<String>,
    /// Inside it.
    pub inside_tls: Vec<String>,
}

/// A server that does not let us come as far as its capabilities inside TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoGreeting {
    /// It has no STARTTLS for us.
    NoStartTls(String),
    /// It turns us away, in these words.
    Refused(String),
    /// These words are none of the protocol.
    Foreign(String),
}

/// We, toward the provider, without a secret.
#[derive(Debug)]
pub(super) struct Greeting {
    protocol: Protocol,
    /// Whether the stream is in clear yet.
    in_clear: bool,
    state: State,
    offered: Offered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitGreeting,
    AwaitCapabilities,
    /// POP3: behind its `+OK`.
    InCapabilities,
    AwaitStartTls,
    AwaitTls,
}

/// One line, for what it is in its protocol.
enum Line<'a> {
    /// The answer goes on, and this is a capability, or nothing.
    More(&'a str),
    /// It is well, and over.
    Yes(&'a str),
    No,
    /// None of our business.
    Other,
}

impl Greeting {
    pub(super) fn new(protocol: Protocol, start_tls: bool) -> Self {
        Self { protocol, in_clear: start_tls, state: State::AwaitGreeting, offered: Offered::default() }
    }

    fn read<'a>(&self, line: &'a str) -> Line<'a> {
        match self.protocol {
            Protocol::Smtp => smtp(line),
            Protocol::Pop3 => pop3(line, self.state),
            Protocol::Imap => imap(line, self.state),
        }
    }

    fn offers(&mut self, capability: &str) {
        let list = if self.in_clear { &mut self.offered.in_clear } else { &mut self.offered.inside_tls };
        let capabilities: Vec<&str> = match self.protocol {
            Protocol::Imap => capability.split_ascii_whitespace().collect(),
            Protocol::Smtp | Protocol::Pop3 => vec![capability.trim()],
        };
        for capability in capabilities {
            if list.len() < MOST && !capability.is_empty() {
                list.push(printable(capability));
            }
        }
    }

    fn ask(&mut self, output: &mut Output) -> Step<Result<Offered, NoGreeting>> {
        match self.protocol {
            Protocol::Smtp => output.line(&format!("EHLO {OWN_NAME}")),
            Protocol::Pop3 => output.line("CAPA"),
            Protocol::Imap => output.line("g CAPABILITY"),
        }
        self.state = State::AwaitCapabilities;
        Step::NeedLine
    }

    /// All capabilities are there.
    fn heard(&mut self, output: &mut Output) -> Step<Result<Offered, NoGreeting>> {
        if !self.in_clear {
            self.leave(output);
            return Step::Yield(Ok(std::mem::take(&mut self.offered)));
        }
        let (command, keyword) = match self.protocol {
            Protocol::Smtp => ("STARTTLS", "STARTTLS"),
            Protocol::Pop3 => ("STLS", "STLS"),
            Protocol::Imap => ("g STARTTLS", "STARTTLS"),
        };
        let offered = &self.offered.in_clear;
        // A POP3 server without CAPA may have STLS all the same.
        let may_be = self.protocol == Protocol::Pop3 && offered.is_empty();
        if !may_be && !offered.iter().any(|capability| capability.eq_ignore_ascii_case(keyword)) {
            self.leave(output);
            return Step::Yield(Err(NoGreeting::NoStartTls(format!(
                "{keyword} is not among what it offers: {}",
                self.offered.in_clear.join(", ")
            ))));
        }
        output.line(command);
        self.state = State::AwaitStartTls;
        Step::NeedLine
    }

    fn leave(&self, output: &mut Output) {
        output.line(match self.protocol {
            Protocol::Smtp | Protocol::Pop3 => "QUIT",
            Protocol::Imap => "g LOGOUT",
        });
    }

    fn refused(&self, line: &str, output: &mut Output) -> Step<Result<Offered, NoGreeting>> {
        self.leave(output);
        let said = printable(line);
        Step::Yield(Err(match self.state {
            State::AwaitStartTls => NoGreeting::NoStartTls(said),
            _ if is_refusal(self.protocol, line) => NoGreeting::Refused(said),
            _ => NoGreeting::Foreign(said),
        }))
    }
}

impl Dialogue for Greeting {
    type Yield = Result<Offered, NoGreeting>;

    fn open(&mut self, _output: &mut Output) {}

    fn line_limit(&self) -> usize {
        LINE_LIMIT
    }

    fn state_name(&self) -> &'static str {
        match (self.state, self.in_clear) {
            (State::AwaitGreeting, _) => "awaiting the greeting",
            (State::AwaitCapabilities | State::InCapabilities, true) => "awaiting the capabilities",
            (State::AwaitCapabilities | State::InCapabilities, false) => {
                "awaiting the capabilities inside TLS"
            }
            (State::AwaitStartTls, _) => "awaiting the reply to STARTTLS",
            (State::AwaitTls, _) => "awaiting the TLS handshake",
        }
    }

    fn line(&mut self, line: &[u8], output: &mut Output) -> Step<Self::Yield> {
        let text = String::from_utf8_lossy(line);
        match (self.state, self.read(&text)) {
            (State::AwaitTls, _) => Step::Close,
            (State::AwaitGreeting, Line::Yes(_)) => self.ask(output),
            (State::AwaitCapabilities, Line::Yes(capability)) => {
                self.offers(capability);
                if self.protocol == Protocol::Pop3 {
                    self.state = State::InCapabilities;
                    return Step::NeedLine;
                }
                self.heard(output)
            }
            (State::InCapabilities, Line::Yes(_)) => self.heard(output),
            // CAPA is optional (RFC 2449 section 5).
            (State::AwaitCapabilities, Line::No) if self.protocol == Protocol::Pop3 => self.heard(output),
            (State::AwaitStartTls, Line::Yes(_)) => {
                self.state = State::AwaitTls;
                Step::StartTls
            }
            (State::AwaitCapabilities | State::InCapabilities, Line::More(capability)) => {
                self.offers(capability);
                Step::NeedLine
            }
            (State::AwaitGreeting | State::AwaitStartTls, Line::More(_)) => Step::NeedLine,
            // IMAP says what it likes between an answer's lines.
            (_, Line::Other) if self.protocol == Protocol::Imap && text.starts_with("* ") => Step::NeedLine,
            (_, Line::No | Line::Other) => self.refused(&text, output),
        }
    }

    fn line_too_long(&mut self, output: &mut Output) -> Step<Self::Yield> {
        self.refused("a line without end", output)
    }

    fn tls_started(&mut self, output: &mut Output) -> Step<Self::Yield> {
        self.in_clear = false;
        self.ask(output)
    }
}

/// `250-SIZE 100`, `250 SIZE 100`, `220 ready`. The first line of EHLO's answer is a name, which is listed and does no harm.
fn smtp(line: &str) -> Line<'_> {
    match line.split_at_checked(4) {
        Some(("220-" | "250-", text)) => Line::More(text),
        Some(("220 " | "250 ", text)) => Line::Yes(text),
        _ if line == "220" || line == "250" => Line::Yes(""),
        _ => Line::No,
    }
}

fn pop3(line: &str, state: State) -> Line<'_> {
    match (state, line) {
        (State::InCapabilities, ".") => Line::Yes(""),
        (State::InCapabilities, capability) => Line::More(capability),
        // What stands behind it is no capability.
        (_, line) if line.starts_with("+OK") => Line::Yes(""),
        _ => Line::No,
    }
}

fn imap(line: &str, state: State) -> Line<'_> {
    let (tag, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    let is = |expected: &str| word.eq_ignore_ascii_case(expected);
    match (tag, state) {
        ("*", State::AwaitGreeting) if is("OK") || is("PREAUTH") => Line::Yes(""),
        ("*", State::AwaitGreeting) => Line::No,
        ("*", _) if is("CAPABILITY") => Line::More(behind),
        ("*", _) if is("BYE") => Line::No,
        ("g", _) if is("OK") => Line::Yes(""),
        ("g", _) => Line::No,
        _ => Line::Other,
    }
}

/// A no in the protocol's own words, as the login tells one from what it does not understand.
fn is_refusal(protocol: Protocol, line: &str) -> bool {
    match protocol {
        Protocol::Smtp => matches!(line.as_bytes(), [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', ..]),
        Protocol::Pop3 => line.starts_with("-ERR"),
        Protocol::Imap => line.starts_with("* BYE") || line.starts_with("g "),
    }
}

/// Who begins like this.
pub(super) fn speaker(line: &str) -> Option<&'static str> {
    let word = line.split([' ', '-', '/']).next().unwrap_or(line);
    match word {
        "220" => Some("An SMTP server"),
        "*" => Some("An IMAP server"),
        "+OK" => Some("A POP3 server"),
        "HTTP" | "<!DOCTYPE" | "<html>" => Some("A web server"),
        "SSH" => Some("An SSH server"),
        _ => None,
    }
}

/// Foreign text for people: printable ASCII, and not longer than a person reads.
fn printable(text: &str) -> String {
    text.trim_end()
        .chars()
        .take(200)
        .map(|character| if matches!(character, ' '..='~') { character } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    /// What the dialogue says, and how it ends, with a server of these lines; `TLS` is a handshake.
    fn talk(protocol: Protocol, start_tls: bool, lines: &[&str]) -> (String, Result<Offered, NoGreeting>) {
        let (mut greeting, mut output) = (Greeting::new(protocol, start_tls), Output::default());
        let mut step = Step::NeedLine;
        for line in lines {
            step = match (*line, step) {
                ("TLS", Step::StartTls) => greeting.tls_started(&mut output),
                (line, Step::NeedLine) => greeting.line(line.as_bytes(), &mut output),
                (line, step) => panic!("{line} at {step:?}"),
            };
        }
        match step {
            Step::Yield(result) => {
                let said = String::from_utf8_lossy(output.as_bytes()).replace("\r\n", "|");
                (said, result)
            }
            step => panic!("it goes on: {step:?}"),
        }
    }

    fn offered(in_clear: &[&str], inside_tls: &[&str]) -> Offered {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Offered { in_clear: list(in_clear), inside_tls: list(inside_tls) }
    }

    #[test]
    fn a_server_is_greeted_upgraded_and_asked_again_inside_tls() {
        let table: [(Protocol, bool, &[&str], &str, Offered); 5] = [
            (
                Protocol::Smtp,
                true,
                &[
                    "220-hello",
                    "220 there",
                    "250-mx",
                    "250 STARTTLS",
                    "220 go",
                    "TLS",
                    "250-mx",
                    "250 SIZE 7",
                ],
                "EHLO [127.0.0.1]|STARTTLS|EHLO [127.0.0.1]|QUIT|",
                offered(&["mx", "STARTTLS"], &["mx", "SIZE 7"]),
            ),
            (
                Protocol::Pop3,
                true,
                &["+OK hi", "+OK list", "STLS", ".", "+OK go", "TLS", "+OK list", "TOP", "UIDL", "."],
                "CAPA|STLS|CAPA|QUIT|",
                offered(&["STLS"], &["TOP", "UIDL"]),
            ),
            (
                Protocol::Pop3,
                true,
                &["+OK hi", "-ERR what", "+OK go", "TLS", "-ERR what"],
                "CAPA|STLS|CAPA|QUIT|",
                offered(&[], &[]),
            ),
            (
                Protocol::Imap,
                true,
                &[
                    "* OK hi",
                    "* CAPABILITY IMAP4rev1 STARTTLS",
                    "g OK done",
                    "g OK go",
                    "TLS",
                    "* OK still here",
                    "* CAPABILITY IMAP4rev1 IDLE",
                    "g OK done",
                ],
                "g CAPABILITY|g STARTTLS|g CAPABILITY|g LOGOUT|",
                offered(&["IMAP4rev1", "STARTTLS"], &["IMAP4rev1", "IDLE"]),
            ),
            (
                Protocol::Smtp,
                false,
                &["220 hello", "250 mx"],
                "EHLO [127.0.0.1]|QUIT|",
                offered(&[], &["mx"]),
            ),
        ];
        for (protocol, start_tls, lines, said, offers) in table {
            assert_eq!(talk(protocol, start_tls, lines), (said.to_owned(), Ok(offers)), "{lines:?}");
        }
    }

    #[test]
    fn a_server_without_starttls_or_without_a_welcome_is_left() {
        let table: [(Protocol, &[&str], NoGreeting); 10] = [
            (
                Protocol::Smtp,
                &["220 hi", "250-mx", "250 SIZE"],
                NoGreeting::NoStartTls("STARTTLS is not among what it offers: mx, SIZE".to_owned()),
            ),
            (
                Protocol::Smtp,
                &["220 hi", "250-mx", "250 STARTTLS", "454 4.7.0 later"],
                NoGreeting::NoStartTls("454 4.7.0 later".to_owned()),
            ),
            (Protocol::Smtp, &["554 5.7.1 go away"], NoGreeting::Refused("554 5.7.1 go away".to_owned())),
            (Protocol::Pop3, &["+OK", "-ERR", "-ERR no"], NoGreeting::NoStartTls("-ERR no".to_owned())),
            (Protocol::Imap, &["* BYE full"], NoGreeting::Refused("* BYE full".to_owned())),
            (Protocol::Imap, &["SSH-2.0-x\u{7}"], NoGreeting::Foreign("SSH-2.0-x?".to_owned())),
            (Protocol::Imap, &["220 mx ready"], NoGreeting::Foreign("220 mx ready".to_owned())),
            (Protocol::Smtp, &["* OK ready"], NoGreeting::Foreign("* OK ready".to_owned())),
            (Protocol::Smtp, &["HTTP/1.1 400 Bad"], NoGreeting::Foreign("HTTP/1.1 400 Bad".to_owned())),
            (Protocol::Pop3, &["* OK ready"], NoGreeting::Foreign("* OK ready".to_owned())),
        ];
        for (protocol, lines, expected) in table {
            assert_eq!(talk(protocol, true, lines).1, Err(expected), "{lines:?}");
        }
    }
}
