//! stub

use crate::dialogue::{Dialogue, Output, Step};
use crate::failure::Refusal;
use crate::sasl::Xoauth2;

/// stub
pub struct Client {}

impl Client {
    /// stub
    pub fn new(start_tls: bool, xoauth2: Xoauth2) -> Self {
        let _ = (start_tls, xoauth2);
        unimplemented!()
    }
}

impl Dialogue for Client {
    type Yield = Result<(), Refusal>;
    fn open(&mut self, _output: &mut Output) {}
    fn line_limit(&self) -> usize {
        512
    }
    fn state_name(&self) -> &'static str {
        ""
    }
    fn line(&mut self, _line: &[u8], _output: &mut Output) -> Step<Self::Yield> {
        Step::Close
    }
    fn line_too_long(&mut self, _output: &mut Output) -> Step<Self::Yield> {
        Step::Close
    }
    fn tls_started(&mut self, _output: &mut Output) -> Step<Self::Yield> {
        Step::NeedLine
    }
}
