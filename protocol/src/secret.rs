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

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_never_shows_the_value() {
        assert_eq!(format!("{:?}", Secret::new(String::from("tanstaaf"))), "Secret(..)");
    }
}
