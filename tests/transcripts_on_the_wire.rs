//! The golden dialogues once more, over TCP and TLS, through a whole Gatepost to a provider that says what the transcript says.

mod support;

use gatepost_protocol::Protocol;

use support::stage::{Setting, Stage};
use support::transcript::Transcript;

#[tokio::test]
async fn every_dialogue_goes_as_written_on_the_wire() {
    let mut stages: Vec<(Setting, Stage)> = Vec::new();
    for transcript in Protocol::ALL.into_iter().flat_map(Transcript::all) {
        let setting = Setting::of(&transcript);
        if !stages.iter().any(|(set, _)| *set == setting) {
            stages.push((setting.clone(), Stage::set(setting.clone()).await));
        }
        for (_, stage) in stages.iter().filter(|(set, _)| *set == setting) {
            stage.play(&transcript).await;
        }
    }
}
