//! What the targets in `fuzz/` run. It lives beside the code that it stresses, and says what must hold whatever comes: nothing
//! panics, every cut of the stream gives the same answer, all memory is bounded, and no secret comes back out of a reply.

use std::fmt::Write as _;

use crate::dialogue::{self, Dialogue, Encryption, Output, ServerDialogue, Step, Success};
use crate::failure::{AuthFailure, Cause, Refusal};
use crate::line::LineBuffer;
use crate::sasl::{
    Credentials, Exchange, Mechanism, Progress, UpstreamCredentials, UpstreamMechanism, UpstreamSecret,
};
use crate::secret::{Secret, SecretBytes};
use crate::{imap, pop3, smtp};

/// Long enough that no input contains it by chance.
const TOKEN: &str = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";

/// Likewise; with all that IMAP has to escape, and with what no quoted string can hold.
const PASSWORDS: [&str; 2] = ["vF9d ft4q \"mTc2\" \\Nvb", "vF9d ft4q mTc2 sch\u{fc}ssel"];

/// More than any one line makes us say: the token's line is the longest.
const MAX_ANSWER: usize = 4096;

/// Lines are the same however the bytes arrive, and none is longer than its limit.
pub fn line_buffer(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else { return };
    let limit = 100;
    let lines = |piece: usize| {
        let mut buffer = LineBuffer::new();
        let mut lines = Vec::new();
        let too_long = !feed(&mut buffer, data, piece, |buffer| {
            loop {
                match buffer.next_line(limit) {
                    Ok(Some(line)) => lines.push(line.to_vec()),
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
        });
        (lines, too_long)
    };
    let (at_once, too_long) = lines(LineBuffer::CAPACITY);
    assert!(at_once.iter().all(|line| line.len() < limit && !line.contains(&b'\n')));
    assert_eq!((at_once, too_long), lines(usize::from(piece).max(1)));
}

/// Blanks at either end change no command.
pub fn smtp_command(data: &[u8]) {
    let padded = [b" \t", data, b"\t "].concat();
    assert_eq!(smtp::command::Command::parse(data), smtp::command::Command::parse(&padded));
}

/// A reply put together from lines stays bounded, printable and without our secret.
pub fn smtp_reply(data: &[u8]) {
    let options = data.first().copied().unwrap_or_default();
    let (credentials, secret) = (upstream_credentials(options), secret(options).1);
    let mut reply = None;
    for line in data.split(|&byte| byte == b'\n') {
        let Some(line) = smtp::reply::ReplyLine::parse(line) else { return };
        assert!((200..=559).contains(&line.code));
        let Some(added) = smtp::reply::Reply::add(reply.take(), &line, &credentials) else { return };
        assert_is_loggable(&added.text, secret);
        reply = Some(added);
    }
}

/// Blanks before a command change nothing, and a response's code is bounded by its line.
pub fn pop3(data: &[u8]) {
    let padded = [b" \t", data].concat();
    assert_eq!(pop3::command::Command::parse(data), pop3::command::Command::parse(&padded));
    if let Some(code) = pop3::response::Response::parse(data).and_then(|response| response.code()) {
        assert!(code.is_ascii() && code.len() <= 4 * data.len());
    }
}

/// Blanks before a command change nothing, nor do they behind a LOGIN that was understood; a list of capabilities can be told to a client.
pub fn imap(data: &[u8]) {
    let padded = [b" \t", data].concat();
    let command = imap::command::Command::parse(data);
    assert_eq!(command, imap::command::Command::parse(&padded));
    if let Some(imap::command::Request::Login(arguments)) = command.map(|command| command.request)
        && let Some(login) = imap_login(arguments)
    {
        let padded = [arguments.expose(), b" \t"].concat();
        assert_eq!(Some(login), imap_login(SecretBytes::new(&padded)));
    }
    if let Some(imap::response::Response::Capability(words)) = imap::response::Response::parse(data) {
        let told = imap::response::capabilities(words);
        assert!(
            told.len() <= data.len() && told.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b']')
        );
    }
}

/// The user name and the password that a LOGIN carries, if it carries any. An oracle in `fuzz/` asks too.
pub fn imap_login(arguments: SecretBytes<'_>) -> Option<(String, String)> {
    let Credentials { user_name, password } = imap::command::credentials(arguments).ok()?;
    Some((user_name, password.expose().clone()))
}

/// Whatever an exchange takes for credentials is fit for a database, a log and an XOAUTH2 message.
pub fn sasl(data: &[u8]) {
    let Some((&options, data)) = data.split_first() else { return };
    let mut lines = data.split(|&byte| byte == b'\n');
    let mechanism = if options & 1 == 0 { Mechanism::Plain } else { Mechanism::Login };
    let initial_response = if options & 2 == 0 { None } else { lines.next().map(SecretBytes::new) };
    let mut progress = Exchange::begin(mechanism, initial_response);
    for challenges in 1.. {
        match progress {
            Progress::Challenge(exchange) => {
                assert!(challenges <= 2, "LOGIN asks twice, PLAIN once");
                let Some(line) = lines.next() else { return };
                progress = exchange.respond(line);
            }
            Progress::Finished(Ok(Credentials { user_name, password })) => {
                assert!(user_name.len() <= 255 && !user_name.chars().any(char::is_control));
                assert_eq!(user_name.is_empty(), password.expose().is_empty(), "nobody's are empty, both");
                assert!(!password.expose().contains('\0'));
                return;
            }
            Progress::Finished(Err(_)) => return,
        }
    }
}

/// We toward a mail client.
pub fn smtp_server(data: &[u8]) {
    server(data, |encryption| {
        smtp::Server::new("gatepost.test".to_owned(), vec!["SIZE 1".to_owned()], encryption, 3)
    });
}

/// We toward a mail client.
pub fn pop3_server(data: &[u8]) {
    server(data, |encryption| {
        pop3::Server::new("gatepost.test".to_owned(), vec!["TOP".to_owned()], encryption, 3)
    });
}

/// We toward a mail client.
pub fn imap_server(data: &[u8]) {
    server(data, |encryption| {
        imap::Server::new("gatepost.test".to_owned(), vec!["IDLE".to_owned()], encryption, 3)
    });
}

/// We toward a provider.
pub fn smtp_client(data: &[u8]) {
    client(data, |start_tls, credentials| {
        smtp::Client::new("gatepost.test".to_owned(), start_tls, credentials)
    });
}

/// We toward a provider.
pub fn pop3_client(data: &[u8]) {
    client(data, pop3::Client::new);
}

/// We toward a provider.
pub fn imap_client(data: &[u8]) {
    client(data, |start_tls, credentials| imap::Client::new("a1".to_owned(), start_tls, credentials));
}

fn server<D: ServerDialogue>(data: &[u8], begin: impl Fn(Encryption) -> D) {
    let [options, piece, data @ ..] = data else { return };
    let encryption = match options % 4 {
        0 => Encryption::Active,
        1 => Encryption::Optional,
        2 => Encryption::Required,
        _ => Encryption::Unavailable,
    };
    let judge = |dialogue: &mut D, credentials: Credentials, output: &mut Output| {
        assert_ne!(encryption, Encryption::Required, "a password was taken in clear");
        let verdict = match credentials.user_name.len() % 3 {
            0 => Err(AuthFailure::WrongCredentials),
            1 => Err(AuthFailure::Temporary(Cause::new("later"))),
            _ => Ok(Success {
                capabilities: credentials.user_name.chars().filter(char::is_ascii_alphanumeric).collect(),
                behind: b"* 3 EXISTS\r\n".to_vec(),
            }),
        };
        dialogue.verdict(&verdict, output)
    };
    let at_once = converse(begin(encryption), data, LineBuffer::CAPACITY, judge);
    assert_eq!(at_once, converse(begin(encryption), data, usize::from(*piece).max(1), judge));
}

fn client<D: Dialogue<Yield = Result<Success, Refusal>>>(
    data: &[u8],
    begin: impl Fn(bool, UpstreamCredentials) -> D,
) {
    let [options, piece, data @ ..] = data else { return };
    let start_tls = options % 2 == 1;
    let secret = secret(options / 2).1;
    let begin = || begin(start_tls, upstream_credentials(options / 2));
    let judge = |_: &mut D, verdict: Result<Success, Refusal>, output: &mut Output| {
        assert!(verdict.is_err() || !start_tls, "a login without TLS");
        if let Err(Refusal { text, challenge, .. }) = &verdict {
            assert_is_loggable(text, secret);
            let is_harmless = |challenge: &String| challenge.len() <= 300 && !challenge.contains(secret);
            assert!(challenge.as_ref().is_none_or(is_harmless));
        }
        output.line(&format!("{VERDICT}{verdict:?}"));
        Step::Close
    };
    let at_once = converse(begin(), data, LineBuffer::CAPACITY, judge);
    // How the messages begin, and the password by itself, in clear and in base64.
    let secrets = ["dXNlcj1zb21ldXNlckB", "bixhPXNvbWV1c2Vy", "AHNvbWV1c2Vy", "vF9d ft4q", "dkY5ZCBmdDRx"];
    // A verdict may hold a piece that the provider guessed.
    let said = at_once.split(VERDICT).next().unwrap_or_default();
    let secret_left = secrets.iter().any(|start| said.contains(start));
    assert!(!(start_tls && secret_left), "a secret left without TLS");
    assert_eq!(at_once, converse(begin(), data, usize::from(*piece).max(1), judge));
}

/// Feeds a dialogue until it closes, wants TLS, or the data ends; gives all that it sent, and how it ended.
fn converse<D: Dialogue>(
    mut dialogue: D,
    data: &[u8],
    piece: usize,
    judge: impl Fn(&mut D, D::Yield, &mut Output) -> Step<D::Yield>,
) -> String {
    let mut output = Output::default();
    let mut sent = String::new();
    dialogue.open(&mut output);
    let mut literal = None;
    feed(&mut LineBuffer::new(), data, piece, |buffer| {
        loop {
            assert!(dialogue.line_limit() < LineBuffer::CAPACITY && !dialogue.state_name().is_empty());
            let Some(mut step) = dialogue::feed(&mut dialogue, literal, buffer, &mut output) else {
                return true;
            };
            if let Step::Yield(value) = step {
                step = judge(&mut dialogue, value, &mut output);
            }
            literal = if let Step::NeedLiteral(length) = step { Some(length) } else { None };
            assert!(literal.is_none_or(|length| length <= LineBuffer::CAPACITY));
            let goes_on = matches!(step, Step::NeedLine | Step::NeedLiteral(_));
            if matches!(step, Step::StartTls) {
                let _more_steps_are_another_run = dialogue.tls_started(&mut output);
            }
            assert!(output.as_bytes().len() <= MAX_ANSWER);
            let _a_string_takes_everything = write!(sent, "{}", output.as_bytes().escape_ascii());
            output.wipe();
            if !goes_on {
                return false;
            }
        }
    });
    sent
}

/// Fills the buffer piece by piece and has it read after each. `false` as soon as the reader has had enough.
fn feed(
    buffer: &mut LineBuffer,
    mut data: &[u8],
    piece: usize,
    mut read: impl FnMut(&mut LineBuffer) -> bool,
) -> bool {
    while !data.is_empty() {
        let count = buffer.receive(data.split_at(piece.min(data.len())).0);
        data = data.split_at(count).1;
        if !read(buffer) {
            return false;
        }
    }
    true
}

fn assert_is_loggable(text: &str, secret: &str) {
    assert!(text.len() <= Refusal::MAX_TEXT_LEN && text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    assert!(!text.contains(secret));
}

/// What stands before how a dialogue ended, and in nothing that we say.
const VERDICT: &str = "=> ";

/// Whether it is a token, and the token or the password.
fn secret(options: u8) -> (bool, &'static str) {
    let [first, second] = PASSWORDS;
    match options % 3 {
        0 => (true, TOKEN),
        1 => (false, first),
        _ => (false, second),
    }
}

/// A token or a password, sent as announced or as named.
fn upstream_credentials(options: u8) -> UpstreamCredentials {
    let (is_token, text) = secret(options);
    let text = Secret::new(text.to_owned());
    let secret = if is_token { UpstreamSecret::Token(text) } else { UpstreamSecret::Password(text) };
    let named = UpstreamMechanism::ALL.get(usize::from(options / 3 % 6)).copied();
    let server = ("mail.example.com".to_owned(), 1);
    match UpstreamCredentials::new("someuser@example.com".to_owned(), secret, server, named) {
        Ok(credentials) => credentials,
        Err(_) => unreachable!("both are printable"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_fuzzed_holds_for_a_first_handful() {
        let long = vec![b'x'; 20_000];
        let inputs: [&[u8]; 16] = [
            b"",
            b"\0",
            b"\x03\x01EHLO a\r\nAUTH PLAIN AHRpbQB0YW5zdGFhZg==\r\nMAIL FROM:<>\r\nQUIT\r\n",
            b"\x01\x02STARTTLS\r\nEHLO a\r\n",
            b"\x02\x03USER a\nPASS b\nSTLS\n",
            b"\x00\x04220 a\r\n250 a\r\n334 \r\n535-5.7.8 no\r\n535 5.7.8 no\r\n",
            b"\x01\x04+OK\r\n+OK\r\n-ERR\r\n",
            b"\x00\x05+OK\r\n+\r\n+OK\r\n",
            b"\x01\x02a LOGIN {3}\r\ntim {1+}\r\n\r x\r\nb NOOP\r\n",
            b"\x00\x05* OK [CAPABILITY SASL-IR]\r\n+ e30=\r\na1 OK\r\n* 1 EXISTS\r\ngatepost2 OK\r\n",
            b"a LOGIN \"DOM\\tim\" {1}\r\nx",
            b"\x1a\x05220 a\r\n250-a\r\n250 AUTH LOGIN\r\n334 \r\n334 \r\n535 vF9d ft4q \"mTc2\" \\Nvb\r\n",
            b"\x1a\x05+OK\r\n-ERR\r\n+OK\r\n-ERR vF9d ft4q \"mTc2\" \\Nvb\r\n",
            b"\x1c\x05* OK [CAPABILITY IMAP4]\r\n+\r\na1 NO vF9d ft4q mTc2\r\n",
            b"\x1b\x05* OK [CAPABILITY STARTTLS]\r\ngatepost0 OK\r\n",
            &long,
        ];
        let targets = [
            super::line_buffer,
            super::smtp_command,
            super::smtp_reply,
            super::pop3,
            super::imap,
            super::sasl,
            super::smtp_server,
            super::pop3_server,
            super::imap_server,
            super::smtp_client,
            super::pop3_client,
            super::imap_client,
        ];
        for target in targets {
            inputs.into_iter().for_each(target);
        }
    }
}
