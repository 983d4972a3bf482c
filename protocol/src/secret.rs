//! [`Secret`]: a value that is wiped when dropped, prints as `Secret(..)` in every build, and is opened by
//! [`Secret::expose`] alone, so that a search for `expose()` lists every place where a secret is used.

use std::fmt;

use zeroize::Zeroize;

/// A password, token or key. It has no `Display`, `Deref`, `PartialEq` or serialisation on purpose.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes the value in; the caller keeps no copy.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The only door.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Borrowed bytes of a command that carry a secret: a password, or base64 with one inside. They are wiped by the
/// buffer that they lie in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretBytes<'a>(&'a [u8]);

impl<'a> SecretBytes<'a> {
    /// Marks the bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The only door.
    pub const fn expose(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for SecretBytes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, SecretBytes};

    #[test]
    fn debug_never_shows_the_value() {
        assert_eq!(format!("{:?}", Secret::new(String::from("tanstaaf"))), "Secret(..)");
        assert_eq!(format!("{:?}", SecretBytes::new(b"tanstaaf")), "SecretBytes(..)");
    }
}
