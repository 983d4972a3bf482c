//! stub
/// stub
#[derive(Debug)]
pub struct Sealer {}
