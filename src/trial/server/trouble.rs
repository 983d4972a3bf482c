//! What is said of a way that does not lead to a server: what is known of such failures, and what only the place tells.

use std::io;
use std::time::SystemTime;

use gatepost_protocol::Protocol;
use rustls::Error;

use super::super::Trouble;
use super::super::certificate::{Leaf, untrusted};
use super::super::greeting::{NoGreeting, speaker};
use super::{Kind, Server, Way};
use crate::config::presets;
use crate::diagnosis::{self, Diagnosis, Place};
use crate::session::driver::Ended;
use crate::session::upstream::UpstreamError;
use crate::tls::tls_error;

/// The row of a server that has no STARTTLS for us.
const NO_START_TLS: &str = "G12";

/// The row of what speaks another protocol.
const ANOTHER_PROTOCOL: &str = "G09";

/// The row of a name that has no address.
const NO_ADDRESS: &str = "G04";

impl Way<'_> {
    /// What is known of a failure on the way.
    pub(super) fn trouble(&self, error: &UpstreamError) -> Trouble {
        let said = format!("{}: {error}", self.server.place());
        let mut trouble = Trouble::new(self.known(error), "There is no connection to the server", &said, "");
        if let Some(explained) = self.explained(error) {
            trouble.explain(explained);
        }
        trouble
    }

    fn known(&self, error: &UpstreamError) -> Option<&'static Diagnosis> {
        // A token endpoint is connected to as any server is.
        let protocol = match self.server.kind {
            Kind::Mail(protocol, ..) => protocol,
            Kind::Https => Protocol::Smtp,
        };
        error.diagnosis(protocol)
    }

    /// What the table need not know, because only the place tells it.
    fn explained(&self, error: &UpstreamError) -> Option<(&'static str, String, String)> {
        let Server { host, port, kind, .. } = self.server;
        Some(match error {
            UpstreamError::Dial(error) if error.kind() == io::ErrorKind::ConnectionRefused => (
                "Nothing listens at the server's port",
                format!("{host} can be reached, and takes no connections at port {port}; or a firewall says so."),
                "Compare host and port in the configuration with what the provider says, and ask whoever runs the \
                 firewall."
                    .to_owned(),
            ),
            UpstreamError::TimedOut("awaiting the greeting") => (
                "The server takes the connection and says nothing",
                "Either it is overloaded, or something between here and there swallows what it says, or its port \
                 speaks TLS from the first byte and waits for us, or it is a web server's, which speaks when it \
                 is asked."
                    .to_owned(),
                "Look whether the provider's port wants `tls: implicit`; try again in a few minutes; try another \
                 network."
                    .to_owned(),
            ),
            UpstreamError::TimedOut("connecting") => return None,
            UpstreamError::TimedOut(_) => (
                "The server takes the connection and does not answer",
                "It is overloaded, or something between here and there swallows what is said.".to_owned(),
                "Try again in a few minutes, and then from another network.".to_owned(),
            ),
            UpstreamError::Ended { error: Ended::Tls(error), .. } if speaks_no_tls(error) => (
                "The server's port does not begin with TLS",
                format!("What came from {host} port {port} is not TLS: it speaks in clear there at first."),
                match kind {
                    Kind::Mail(..) => "Write `tls: starttls` for this server, or the port that the provider names \
                                       for TLS from the first byte: 465 (SMTP), 995 (POP3), 993 (IMAP)."
                        .to_owned(),
                    Kind::Https => "Compare the token endpoint's address in the configuration with what the \
                                    provider says."
                        .to_owned(),
                },
            ),
            UpstreamError::HostName(_) => (
                "This is not a host name",
                "No certificate can carry it.".to_owned(),
                "Write the name that the provider gives for this server.".to_owned(),
            ),
            UpstreamError::Ended { .. } => (
                "The server broke off",
                "The connection ended before there was TLS: the server, or something between here and there, did not \
                 want it."
                    .to_owned(),
                "Try again in a few minutes; then compare host, port and `tls` in the configuration with what the \
                 provider says."
                    .to_owned(),
            ),
            _ => return None,
        })
    }
}

/// There was a connection, and then no TLS.
#[derive(Debug)]
pub(super) enum NoTls {
    Broken(UpstreamError),
    Left(NoGreeting),
}

impl NoTls {
    pub(super) fn told(&self, way: &Way<'_>, leaf: Option<&Leaf>) -> Trouble {
        let host = &way.server.host;
        match self {
            Self::Broken(error) => {
                let mut trouble = way.trouble(error);
                let case = match error {
                    UpstreamError::Ended { error: Ended::Tls(error), .. } => tls_error(error),
                    _ => None,
                };
                let case = case.and_then(|error| untrusted(error, host, SystemTime::now()));
                if let Some(explained) = case {
                    trouble.explain(explained);
                    if let Some(leaf) = leaf {
                        trouble.said = format!("{} presented {}", way.server.place(), leaf.presented());
                    }
                }
                trouble
            }
            Self::Left(NoGreeting::NoStartTls(said)) => {
                let row = diagnosis::by_id(NO_START_TLS);
                let said = format!("{}: {said}", way.server.place());
                let mut trouble = Trouble::new(row, "", &said, "");
                trouble.explain((
                    "The server offers no STARTTLS",
                    "Without TLS Gatepost sends neither a token nor a password. A virus scanner or a firewall \
                            that reads along often takes STARTTLS out of what a server says."
                        .to_owned(),
                    "Compare port and `tls` in the configuration with what the provider says, and ask whoever runs \
                          the firewall to leave this connection alone."
                        .to_owned(),
                ));
                trouble
            }
            Self::Left(NoGreeting::Refused(said)) => {
                let place = match way.server.kind {
                    Kind::Mail(protocol, ..) => Place::from(protocol),
                    Kind::Https => Place::Connection,
                };
                let row = diagnosis::find(place, said);
                let said = format!("{} said: {said}", way.server.place());
                Trouble::new(row, "The server turns everybody away", &said, "")
            }
            Self::Left(NoGreeting::Foreign(said)) => {
                let row = diagnosis::by_id(ANOTHER_PROTOCOL);
                let mut trouble = Trouble::new(row, "", &format!("{} said: {said}", way.server.place()), "");
                if let Some(speaker) = speaker(said) {
                    let (port, name) = (way.server.port, &way.server.name);
                    trouble.cause = format!(
                        "{speaker} begins like this, and the configuration has port {port} for {name}."
                    );
                }
                trouble
            }
        }
    }
}

/// Why a name has no address. A name that does not exist and a resolver that does not answer are told by the system's words alone.
pub(super) fn no_address(host: &str, error: &io::Error) -> Trouble {
    let text = match error.kind() {
        io::ErrorKind::TimedOut => "no answer from DNS in time".to_owned(),
        _ => error.to_string(),
    };
    let lower = text.to_ascii_lowercase();
    let no_such_name =
        ["not known", "does not resolve", "no address", "nodename nor servname", "no such host"];
    let said = format!("{host}: {text}");
    let is_missing = no_such_name.iter().any(|words| lower.contains(words));
    let (title, cause, fix) = if is_missing && presets::name_host(host) {
        (
            "This machine does not know the name",
            "This machine's resolver does not know the name, or the machine is offline.".to_owned(),
            "Look at this machine's network and at `/etc/resolv.conf`; the name itself is the provider's."
                .to_owned(),
        )
    } else if is_missing {
        (
            "There is no server of this name",
            format!(
                "DNS knows no {host}: the name is misspelt (L04), or this machine is offline, or asks a resolver \
                 that does not know the internet."
            ),
            format!(
                "Compare `{host}` in the configuration letter by letter with what the provider says. If it is right, \
                 or no other name is found either, look at this machine's network and at `/etc/resolv.conf`."
            ),
        )
    } else {
        (
            "This machine cannot look up names",
            "The resolver of this machine does not answer, or says that it cannot answer now.".to_owned(),
            "Look whether this machine is on the internet, and at its DNS settings (`/etc/resolv.conf`)."
                .to_owned(),
        )
    };
    let mut trouble = Trouble::new(diagnosis::by_id(NO_ADDRESS), "", &said, "");
    trouble.explain((title, cause, fix));
    trouble
}

fn speaks_no_tls(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(Error::InvalidMessage(_)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::no_address;

    #[test]
    fn a_name_that_is_not_there_is_told_from_a_resolver_that_is_not() {
        for (text, cause) in [
            ("failed to lookup address information: Name or service not known", "DNS knows no"),
            ("failed to lookup address information: Name does not resolve", "DNS knows no"),
            ("failed to lookup address information: No address associated with hostname", "DNS knows no"),
            ("the name has no address", "DNS knows no"),
            (
                "failed to lookup address information: nodename nor servname provided, or not known",
                "DNS knows no",
            ),
            ("failed to lookup address information: Temporary failure in name resolution", "The resolver of"),
            ("failed to lookup address information: Try again", "The resolver of"),
        ] {
            let trouble = no_address("mail.example", &io::Error::other(text));
            assert!(trouble.cause.starts_with(cause), "{text}: {}", trouble.cause);
            assert!(trouble.said.ends_with(text), "{}", trouble.said);
        }
    }

    #[test]
    fn nobody_has_misspelt_the_name_that_a_preset_has() {
        for (host, has_misspelt) in [
            ("smtp.office365.com", false),
            ("SMTP.gmail.com", false),
            ("login.microsoftonline.com", false),
            ("oauth2.googleapis.com", false),
            ("smtp.ofice365.com", true),
            ("office", true),
        ] {
            let error = io::Error::other("failed to lookup address information: Name or service not known");
            let trouble = no_address(host, &error);
            assert_eq!(trouble.cause.contains("L04"), has_misspelt, "{host}: {}", trouble.cause);
            assert_eq!(trouble.fix.contains("letter by letter"), has_misspelt, "{host}: {}", trouble.fix);
            assert!(trouble.fix.contains("/etc/resolv.conf"), "{host}: {}", trouble.fix);
        }
    }
}
