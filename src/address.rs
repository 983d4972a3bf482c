//! The two sides of an address, and when two of them are one mailbox. Rules: letters of ASCII count in no case; a domain is the
//! same in its own script and as DNS has it (IDNA, RFC 5890: `bücher.example` is `xn--bcher-kva.example`).

/// What stands behind the last `@`.
pub fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// The domain that stands for every mailbox of it, as in `*@contoso.com`; `None` for one mailbox.
pub fn every_mailbox_of(address: &str) -> Option<&str> {
    address.strip_prefix("*@")
}

/// Whether both mean the same mailbox, or the same user name where they are no addresses.
pub fn same(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((one, at)), Some((other, other_at))) => {
            one.eq_ignore_ascii_case(other) && same_domain(at, other_at)
        }
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// Whether both are the same domain.
pub fn same_domain(one: &str, other: &str) -> bool {
    // Nearly all are; the rest is for the others.
    one.eq_ignore_ascii_case(other)
        || (is_international(one) || is_international(other))
            && in_ascii(one).is_some_and(|one| in_ascii(other) == Some(one))
}

/// The ways in which the address, or the user name, may be written elsewhere, for a look-up that compares letter by letter: as it
/// is, with its domain in ASCII, and with its domain in its own script; ASCII in lower case.
pub fn spellings(address: &str) -> [String; 3] {
    let written = address.to_ascii_lowercase();
    let Some((local, domain)) = written.rsplit_once('@').filter(|(_, domain)| is_international(domain))
    else {
        return [written.clone(), written.clone(), written];
    };
    let with = |domain: String| format!("{local}@{domain}");
    let ascii = in_ascii(domain).map_or_else(|| written.clone(), with);
    // What cannot be turned round comes back as it is.
    let own_script = with(idna::domain_to_unicode(domain).0);
    [written.clone(), ascii, own_script]
}

/// Whether there is another way of writing it.
fn is_international(domain: &str) -> bool {
    // The prefix of a label that stands for another script (RFC 5890 section 2.3.2.1).
    !domain.is_ascii() || domain.to_ascii_lowercase().contains("xn--")
}

fn in_ascii(domain: &str) -> Option<String> {
    idna::domain_to_ascii(domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_the_same_in_every_spelling_of_its_domain() {
        for (one, other, expected) in [
            ("Scan@Contoso.com", "scan@CONTOSO.com", true),
            ("scan@bücher.example", "scan@xn--bcher-kva.example", true),
            ("scan@BÜCHER.example", "scan@XN--bcher-KVA.example", true),
            ("scan@bücher.example", "scan@bucher.example", false),
            ("scan@contoso.com", "other@contoso.com", false),
            ("scan@contoso.com", "scan@sub.contoso.com", false),
            ("\"a@b\"@contoso.com", "b\"@contoso.com", false),
            ("scan@xn--\u{0}", "scan@xn--\u{1}", false),
            ("scanner", "Scanner", true),
            ("scanner", "scanner@contoso.com", false),
            ("ä@contoso.com", "Ä@contoso.com", false),
        ] {
            assert_eq!(same(one, other), expected, "{one:?} {other:?}");
            assert_eq!(same(other, one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_look_up_finds_what_was_written_otherwise() {
        for (address, expected) in [
            ("Scan@Contoso.com", ["scan@contoso.com"; 3]),
            ("scanner", ["scanner"; 3]),
            (
                "Scan@Bücher.example",
                ["scan@bücher.example", "scan@xn--bcher-kva.example", "scan@bücher.example"],
            ),
            (
                "*@xn--bcher-kva.example",
                ["*@xn--bcher-kva.example", "*@xn--bcher-kva.example", "*@bücher.example"],
            ),
        ] {
            assert_eq!(spellings(address), expected.map(str::to_owned), "{address}");
        }
    }

    #[test]
    fn a_domain_stands_behind_the_last_at() {
        for (address, expected) in
            [("ann@a.example", Some("a.example")), ("\"a@b\"@c.example", Some("c.example")), ("ann", None)]
        {
            assert_eq!(domain(address), expected, "{address}");
        }
    }
}
