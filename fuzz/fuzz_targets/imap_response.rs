#![no_main]

use gatepost_protocol::imap::response::{Response, Status, capabilities};
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::response::{self, Data, StatusBody, StatusKind, Tagged};
use libfuzzer_sys::fuzz_target;

// What imap-codec takes for a response that decides a login, we take for the same one.
fuzz_target!(|data: &[u8]| {
    let Ok((rest, theirs)) = ResponseCodec::default().decode(data) else { return };
    let line = data.strip_suffix(rest).and_then(|line| line.strip_suffix(b"\n")).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.contains(&b'\n') {
        // A literal: there is none in a response that decides a login.
        return;
    }
    let ours = Response::parse(line);
    let said = line.escape_ascii();
    match theirs {
        response::Response::Status(response::Status::Tagged(Tagged { tag, body })) => {
            let Some(Response::Status { tag: Some(found), status, .. }) = ours else { panic!("{said}") };
            assert_eq!((found, status), (tag.as_ref().as_bytes(), kind(&body)), "{said}");
        }
        response::Response::Status(response::Status::Untagged(body)) => {
            let Some(Response::Status { tag: None, status, .. }) = ours else { panic!("{said}") };
            assert_eq!(status, kind(&body), "{said}");
        }
        response::Response::Status(response::Status::Bye(_)) => {
            assert!(matches!(ours, Some(Response::Status { tag: None, status: Status::Bye, .. })), "{said}");
        }
        response::Response::Data(Data::Capability(theirs)) => {
            let Some(Response::Capability(words)) = ours else { panic!("{said}") };
            let ours = capabilities(words);
            // Long lists are cut.
            assert!(ours.len() > 1900 || ours.split(' ').count() == theirs.as_ref().len(), "{said}: {ours}");
        }
        response::Response::Data(_) => {
            assert!(matches!(ours, Some(Response::Other)), "{said}");
        }
        response::Response::CommandContinuationRequest(_) => {
            assert!(matches!(ours, Some(Response::Continuation(_))), "{said}");
        }
    }
});

fn kind(body: &StatusBody<'_>) -> Status {
    match body.kind {
        StatusKind::Ok => Status::Ok,
        StatusKind::No => Status::No,
        StatusKind::Bad => Status::Bad,
    }
}
