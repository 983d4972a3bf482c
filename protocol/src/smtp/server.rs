//! stub

use crate::dialogue::{Dialogue, Encryption, Goodbye, Output, Step};
use crate::failure::AuthFailure;
use crate::sasl::Credentials;

/// stub
pub struct Server {}

impl Server {
    /// `host_name` stands in the greeting; `capabilities` are the provider's, as its preset gives them, without AUTH and
    /// STARTTLS, which are ours.
    pub fn new(host_name: String, capabilities: Vec<String>, encryption: Encryption) -> Self {
        let _ = (host_name, capabilities, encryption);
        unimplemented!()
    }

    /// The answer to the credentials that were yielded. `Step::NeedLine` after success too: the owner stops driving then.
    pub fn verdict(&mut self, verdict: &Result<(), AuthFailure>, output: &mut Output) -> Step<Credentials> {
        let _ = (verdict, output);
        unimplemented!()
    }
}

/// stub
pub fn goodbye(host_name: &str, reason: Goodbye, output: &mut Output) {
    let _ = (host_name, reason, output);
}

impl Dialogue for Server {
    type Yield = Credentials;
    fn open(&mut self, _output: &mut Output) {}
    fn line_limit(&self) -> usize {
        512
    }
    fn state_name(&self) -> &'static str {
        ""
    }
    fn line(&mut self, _line: &[u8], _output: &mut Output) -> Step<Credentials> {
        Step::Close
    }
    fn line_too_long(&mut self, _output: &mut Output) -> Step<Credentials> {
        Step::Close
    }
    fn tls_started(&mut self, _output: &mut Output) -> Step<Credentials> {
        Step::NeedLine
    }
}
