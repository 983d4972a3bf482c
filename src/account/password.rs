//! stub
/// stub
#[derive(Debug)]
pub struct Hasher {}
impl Hasher {
    /// stub
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {}
    }
}
