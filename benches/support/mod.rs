//! A whole login by POP3 without a socket: we toward the client, then we toward the provider, fed with what these say.

use gatepost_protocol::dialogue::{self, Dialogue, Encryption, Output, ServerDialogue as _, Step, Success};
use gatepost_protocol::line::LineBuffer;
use gatepost_protocol::pop3::{Client, Server};
use gatepost_protocol::sasl::{UpstreamCredentials, UpstreamSecret};
use gatepost_protocol::secret::Secret;

/// What the client says.
const CLIENT: &[u8] = b"CAPA\r\nUSER ann@example.com\r\nPASS correct-horse-battery-staple\r\n";

/// What the provider says.
const PROVIDER: &[u8] = b"+OK ready\r\n+ \r\n+OK logged in\r\n";

/// As long as those of Microsoft often are.
const TOKEN_LENGTH: usize = 1_500;

/// Octets that came in and went out, and whether both sides were content.
pub(crate) fn login(token: &Secret<String>) -> (usize, bool) {
    let mut received = LineBuffer::new();
    let mut output = Output::default();
    let mut server = Server::new("gatepost.test".to_owned(), vec!["TOP".to_owned()], Encryption::Active, 3);
    let (user_name, mut octets) = converse(&mut server, CLIENT, &mut received, &mut output);
    let Some(credentials) = user_name else { return (octets, false) };

    let upstream = UpstreamCredentials::new(
        credentials.user_name,
        UpstreamSecret::Token(token.clone()),
        ("pop3.example.com".to_owned(), 995),
        None,
    );
    let Ok(upstream) = upstream else { return (octets, false) };
    let mut client = Client::new(false, upstream);
    received.clear();
    let (verdict, more) = converse(&mut client, PROVIDER, &mut received, &mut output);
    octets += more;
    let Some(Ok(success)) = verdict else { return (octets, false) };
    let step = server.verdict(&Ok::<Success, _>(success), &mut output);
    (octets + output.as_bytes().len(), matches!(step, Step::NeedLine))
}

/// A token to log in with.
pub(crate) fn token() -> Secret<String> {
    Secret::new("t".repeat(TOKEN_LENGTH))
}

/// Feeds the dialogue until it yields.
fn converse<D: Dialogue>(
    dialogue: &mut D,
    mut said: &[u8],
    received: &mut LineBuffer,
    output: &mut Output,
) -> (Option<D::Yield>, usize) {
    let mut octets = 0;
    dialogue.open(output);
    loop {
        octets += output.as_bytes().len();
        output.wipe();
        match dialogue::feed(dialogue, None, received, output) {
            Some(Step::Yield(value)) => {
                octets += output.as_bytes().len();
                output.wipe();
                return (Some(value), octets);
            }
            Some(Step::NeedLine) => {}
            Some(_) => return (None, octets),
            None => {
                // A line comes as one packet.
                let end = said.iter().position(|&octet| octet == b'\n').map_or(0, |position| position + 1);
                let (line, rest) = said.split_at(end);
                if line.is_empty() || received.receive(line) < line.len() {
                    return (None, octets);
                }
                octets += line.len();
                said = rest;
            }
        }
    }
}
