//! stub
/// Passwords that may share a user name within a provider.
pub(crate) const MAX_PER_USER_NAME: usize = 8;
