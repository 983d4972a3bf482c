//! What may be an address or a user name: nothing that could break out of a protocol line, a log line or the fields of an
//! XOAUTH2 message, whoever puts it there later.

use super::catch_all;

/// The longest user name that is taken, in octets. SMTP's address limit is a little below (RFC 5321 section 4.5.3.1.3).
const MAX_LEN: usize = 255;

/// What is wrong with the address of an account: that of a mailbox, or `*@contoso.com` for every mailbox of a domain.
pub fn wrong_account_address(address: &str) -> Option<&'static str> {
    match catch_all::domain(address) {
        // Whatever may stand before the domain: the domain is what is judged.
        Some(domain) if !domain.contains('@') => wrong_address(&format!("anyone@{domain}")),
        _ => wrong_address(address),
    }
}

/// What is wrong with the address of a mailbox; `None` if it can be one.
pub fn wrong_address(address: &str) -> Option<&'static str> {
    let parts = address.rsplit_once('@');
    match parts {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() => {}
        _ => return Some("is not an address like ann@example.com"),
    }
    if address.contains(char::is_whitespace) {
        return Some("has a blank in it");
    }
    if address.contains('*') {
        return Some(
            "has a `*` in it, and one mailbox is meant; every mailbox of a domain is for `account add` and `setup microsoft365`",
        );
    }
    wrong_user_name(address)
}

/// What is wrong with a user name; `None` if it can be one.
pub fn wrong_user_name(user_name: &str) -> Option<&'static str> {
    if user_name.is_empty() {
        return Some("is empty");
    }
    if user_name.len() > MAX_LEN {
        return Some("is longer than 255 octets");
    }
    if user_name.contains(char::is_control) {
        return Some("has a control character in it");
    }
    if catch_all::domain(user_name).is_some() {
        return Some("begins with `*@`, which stands for every mailbox of a domain (--all-mailboxes)");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_two_sides_and_no_blanks() {
        for address in ["ann@example.com", "\"a@b\"@example.com", "jörg@bücher.example", "a@b"] {
            assert_eq!(wrong_address(address), None, "{address}");
        }
        for address in ["", "ann", "@example.com", "ann@", "an n@example.com", "ann@example.com\u{1}"] {
            assert!(wrong_address(address).is_some(), "{address:?}");
            assert!(wrong_account_address(address).is_some(), "{address:?}");
        }
    }

    #[test]
    fn an_asterisk_stands_before_a_domain_alone_and_in_the_address_of_an_account_alone() {
        for (address, expected) in [
            ("*@example.com", true),
            ("**@example.com", false),
            ("a*@example.com", false),
            ("*@*", false),
            ("*@*.example.com", false),
            ("*@", false),
            ("*@a@example.com", false),
            ("*@exam ple.com", false),
            ("*@example.com\n", false),
        ] {
            assert_eq!(wrong_account_address(address).is_none(), expected, "{address:?}");
            assert!(wrong_address(address).is_some(), "{address:?}");
        }
        assert!(wrong_user_name("*@example.com").is_some());
        assert_eq!(wrong_user_name("*"), None);
    }

    #[test]
    fn a_user_name_breaks_out_of_nothing() {
        for name in ["scanner", "Scanner 2", "ann@example.com", "jörg", &"a".repeat(255)] {
            assert_eq!(wrong_user_name(name), None, "{name}");
        }
        for name in ["", "a\0b", "a\rb", "a\nb", "a\u{1}b", "a\u{7f}b", "a\u{85}b", &"a".repeat(256)] {
            assert!(wrong_user_name(name).is_some(), "{name:?}");
        }
    }
}
