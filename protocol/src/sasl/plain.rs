//! SASL PLAIN, server side: RFC 4616. Nobody logs in as somebody else: an authorization identity that differs from the
//! authentication identity is refused (CVE-2023-27582).

use super::Credentials;
use crate::failure::AuthFailure;

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd`, and the form without the leading NUL that some programs send.
pub(super) fn credentials(message: &[u8]) -> Result<Credentials, AuthFailure> {
    let fields: Vec<&[u8]> = message.splitn(4, |&byte| byte == 0).collect();
    match *fields.as_slice() {
        [authcid, password] => Ok(Credentials::new(authcid, password)),
        [on_behalf_of, authcid, password] if on_behalf_of.is_empty() || on_behalf_of == authcid => {
            Ok(Credentials::new(authcid, password))
        }
        _ => Err(AuthFailure::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::credentials;
    use crate::failure::AuthFailure;

    #[test]
    fn the_identities_must_agree() {
        let table: [(&[u8], Result<(&str, &str), AuthFailure>); 11] = [
            (b"\0tim\0tanstaaf", Ok(("tim", "tanstaaf"))),
            (b"tim\0tim\0tanstaaf", Ok(("tim", "tanstaaf"))),
            (b"tim\0tanstaaf", Ok(("tim", "tanstaaf"))),
            (b"\0tim\0caf\xe9", Ok(("tim", "caf\u{e9}"))),
            (b"root\0tim\0tanstaaf", Err(AuthFailure::Malformed)),
            (b"\0tim\0tan\0staaf", Err(AuthFailure::Malformed)),
            (b"tim", Err(AuthFailure::Malformed)),
            (b"", Err(AuthFailure::Malformed)),
            (b"\0\0tanstaaf", Ok(("", ""))),
            (b"\0tim\0", Ok(("", ""))),
            (b"\0t\x01m\0tanstaaf", Ok(("", ""))),
        ];
        for (message, expected) in table {
            let expected = expected.map(|(name, password)| (name.to_owned(), password.to_owned()));
            let found = credentials(message)
                .map(|credentials| (credentials.user_name.clone(), credentials.password.expose().clone()));
            assert_eq!(found, expected, "{message:?}");
        }
    }
}
