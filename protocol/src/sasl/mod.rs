//! stub

use crate::secret::Secret;

/// What a mail client logs in with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// 1 to 255 bytes of UTF-8 without control characters.
    pub user_name: String,
    /// Not empty. What is not UTF-8 was read as Latin-1, which old programs send.
    pub password: Secret<String>,
}

/// A user name and a token that can be put into an XOAUTH2 message: neither has a control character.
#[derive(Clone, Debug)]
pub struct Xoauth2 {
    user_name: String,
    token: Secret<String>,
}

/// The user name or the token carries a byte that would break out of its field (0x01 separates them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenByte;

impl Xoauth2 {
    /// stub
    pub fn new(user_name: String, token: Secret<String>) -> Result<Self, ForbiddenByte> {
        Ok(Self { user_name, token })
    }
}
