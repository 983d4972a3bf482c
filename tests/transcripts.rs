//! The golden dialogues, played to the pure machines three ways: each packet at once, byte by byte, and cut in two at every
//! index. However the network cuts the stream, we say the same (invariant 2).

// What a test meets unexpectedly should stop it with its place.
#![allow(clippy::indexing_slicing, clippy::panic)]

mod support;

use gatepost_protocol::Protocol;

use support::rehearsal::Rehearsal;
use support::transcript::{Deed, Speaker, Transcript};

#[test]
fn smtp_dialogues_go_as_written() {
    play_all(Protocol::Smtp);
}

#[test]
fn pop3_dialogues_go_as_written() {
    play_all(Protocol::Pop3);
}

#[test]
fn imap_dialogues_go_as_written() {
    play_all(Protocol::Imap);
}

fn play_all(protocol: Protocol) {
    for transcript in Transcript::all(protocol) {
        play(&transcript, "at once", |_, bytes| vec![bytes.len()]);
        play(&transcript, "byte by byte", |_, bytes| (1..=bytes.len()).collect());
        for (index, turn) in transcript.turns.iter().enumerate() {
            let Deed::Say(bytes) = &turn.deed else { continue };
            if !turn.is_cue() {
                continue;
            }
            for cut in 1..bytes.len() {
                play(&transcript, &format!("turn {index} cut at {cut}"), |at, bytes| {
                    if at == index { vec![cut, bytes.len()] } else { vec![bytes.len()] }
                });
            }
        }
    }
}

/// Plays a transcript; `cuts` gives for a turn and its bytes where each piece ends.
fn play(transcript: &Transcript, way: &str, cuts: impl Fn(usize, &[u8]) -> Vec<usize>) {
    let mut rehearsal = Rehearsal::begin(transcript);
    let mut turns = transcript.turns.iter().enumerate().peekable();
    loop {
        let mut expected = Vec::new();
        while let Some((_, turn)) = turns.next_if(|(_, turn)| !turn.is_cue()) {
            expected.push(turn.clone());
        }
        let path = transcript.path.display();
        let next = turns.peek().map(|(_, turn)| turn);
        assert_eq!(rehearsal.done(), expected, "{path}, {way}, before {next:?} (left: done, right: written)");
        let Some((index, turn)) = turns.next() else { return };
        match (turn.speaker, &turn.deed) {
            (Speaker::Client, Deed::Tls) => rehearsal.client_tls(),
            (Speaker::Proxy, Deed::Tls) => rehearsal.upstream_tls(),
            (speaker, Deed::Say(bytes)) => {
                let mut start = 0;
                for end in cuts(index, bytes) {
                    let piece = &bytes[start..end];
                    start = end;
                    if speaker == Speaker::Client {
                        rehearsal.hear_client(piece);
                    } else {
                        rehearsal.hear_upstream(piece);
                    }
                }
            }
            (speaker, Deed::Tls | Deed::Close) => panic!("{path}: {speaker:?} cannot do this"),
        }
    }
}
