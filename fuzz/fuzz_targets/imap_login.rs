#![no_main]

use gatepost_protocol::fuzz::imap_login;
use gatepost_protocol::imap::command::{Command, Request};
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::command::CommandBody;
use libfuzzer_sys::fuzz_target;

// We read more than the RFC has, and never less: what imap-codec takes for a LOGIN is one to us, with the same words in it.
fuzz_target!(|data: &[u8]| {
    let Ok((rest, theirs)) = CommandCodec::default().decode(data) else { return };
    let CommandBody::Login { username, password } = theirs.body else { return };
    let line = data.strip_suffix(rest).and_then(|line| line.strip_suffix(b"\n")).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(Command { tag, request: Request::Login(arguments) }) = Command::parse(line) else {
        // Tags of more than 126 octets are refused.
        assert!(theirs.tag.as_ref().len() > 126, "not a LOGIN to us: {}", line.escape_ascii());
        return;
    };
    assert_eq!(tag, theirs.tag.as_ref());
    let Some((user_name, password_text)) = imap_login(arguments) else {
        panic!("not readable to us: {}", line.escape_ascii());
    };
    if user_name.is_empty() {
        // Empty words, and words that no user name or password is made of, are nobody's.
        let (name, word) = (username.as_ref(), password.declassify().as_ref());
        let is_text = std::str::from_utf8(name).is_ok_and(|name| !name.chars().any(char::is_control));
        let is_usable = is_text && (1..=255).contains(&name.len()) && !word.is_empty() && !word.contains(&0);
        assert!(!is_usable, "somebody's: {}", line.escape_ascii());
        return;
    }
    assert_eq!(user_name.as_bytes(), username.as_ref());
    let theirs = password.declassify().as_ref();
    if let Ok(text) = std::str::from_utf8(theirs) {
        assert_eq!(password_text, text);
    }
});
