//! Catch-all accounts: `*@contoso.com` stands for every mailbox of a domain, at a provider whose one grant opens them all. A
//! device opens one of them, which stands with its credential; or any, which it types as user name.
//!
//! Rules: a domain is itself alone, without its subdomains; whoever types a `*` opens nothing by it.

use super::name::wrong_address;
use super::{Account, Credential};
use crate::address::{self, same_domain};

/// The domain of a catch-all account; `None` for an account with one mailbox.
pub use crate::address::every_mailbox_of as domain;

/// Whether it is a catch-all account that the mailbox belongs to.
pub fn covers(address: &str, mailbox: &str) -> bool {
    match (domain(address), mailbox.rsplit_once('@')) {
        (Some(domain), Some((local, of))) => {
            same_domain(of, domain) && !local.contains('@') && wrong_address(mailbox).is_none()
        }
        _ => false,
    }
}

/// The address of the catch-all account that the mailbox would belong to. It is also the user name of credentials that open
/// every mailbox of the domain.
pub fn address_for(mailbox: &str) -> Option<String> {
    let domain = address::domain(mailbox)?;
    let address = format!("*@{}", domain.to_ascii_lowercase());
    covers(&address, mailbox).then_some(address)
}

/// The account with the one mailbox that a login with this credential opens, if the user name is right for it.
pub fn opened(account: Account, credential: &Credential, user_name: &str) -> Option<Account> {
    let named = address::same(&credential.user_name, user_name);
    let mailbox = match (domain(&account.address), &credential.mailbox) {
        (None, _) => return named.then_some(account),
        (Some(_), Some(only)) => only.clone(),
        // In one case, so that the provider's cap per mailbox counts every spelling as the same.
        (Some(_), None) => user_name.to_ascii_lowercase(),
    };
    let right = (named || credential.mailbox.is_none()) && covers(&account.address, &mailbox);
    right.then_some(Account { address: mailbox, ..account })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_itself_alone_and_an_asterisk_opens_nothing() {
        for (mailbox, expected) in [
            ("scan@contoso.com", true),
            ("Scan@CONTOSO.com", true),
            ("a=b,c@contoso.com", true),
            ("scan@sub.contoso.com", false),
            ("scan@xcontoso.com", false),
            ("scan@contoso.com.", false),
            ("scan@contoso.com ", false),
            ("scan@contoso.com\u{1}", false),
            ("scan@evil.example@contoso.com", false),
            ("*@contoso.com", false),
            ("s*@contoso.com", false),
            ("@contoso.com", false),
            ("contoso.com", false),
            ("", false),
        ] {
            assert_eq!(covers("*@contoso.com", mailbox), expected, "{mailbox:?}");
            assert!(!covers("scan@contoso.com", mailbox), "{mailbox:?}");
            let address = address_for(mailbox);
            assert_eq!(address.as_deref() == Some("*@contoso.com"), expected, "{mailbox:?}: {address:?}");
        }
        assert_eq!(address_for("scan@*"), None);
        assert!(covers("*@bücher.example", "scan@xn--bcher-kva.example"));
        assert!(covers("*@xn--bcher-kva.example", "scan@Bücher.example"));
        assert_eq!(domain("scan@contoso.com"), None);
    }
}
