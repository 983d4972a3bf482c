//! L04, L05, L07: names of mail servers that were spelt or placed wrong. Rule: only names that nobody else could mean are judged,
//! since an error keeps Gatepost from starting; a name that is known to be somebody's is never a misspelling of another.

use gatepost_protocol::Protocol;
use url::Url;

use super::super::complaint::Finding;
use super::super::edit::Value;
use super::super::file::Node;
use super::super::microsoft;
use super::super::presets::{self, Preset};
use super::super::section::Field;

/// Names with a first part that is no protocol's. `smtplib` is a library's name that found its way into a vendor's manual.
const MISSPELT: [(&str, &str); 5] =
    [("smpt.", "smtp."), ("stmp.", "smtp."), ("smtplib.", "smtp."), ("iamp.", "imap."), ("impa.", "imap.")];

/// Domains of others that look much like one of the presets.
const OTHERS: [&str; 6] = ["email.com", "hotmail.com", "live.com", "mail.com", "mail.de", "office.com"];

/// What people write in place of `com`, at domains that have no such sister.
const MISSPELT_COM: [&str; 6] = ["cm", "co", "comm", "con", "ocm", "om"];

const WORK: &str = "smtp.office365.com";
const PERSONAL: &str = "smtp-mail.outlook.com";

/// Complains about the hosts of a provider, under which its preset is laid already.
pub(in crate::config) fn judge(provider: &Field<'_>) {
    let family = family(provider.node);
    let kind = kind(provider.node);
    for protocol in Protocol::ALL {
        let Some(field) = provider.find(protocol.name()).and_then(|server| server.find("host")) else {
            continue;
        };
        let Some(host) = field.node.scalar() else { continue };
        let host = host.trim().to_ascii_lowercase();
        let found = wrong_place(protocol, &host, &family)
            .or_else(|| misspelt(protocol, &host, &family))
            .or_else(|| other_kind(&host, kind));
        if let Some(finding) = found {
            field.complain(finding);
        }
    }
}

/// The presets that the provider can only mean, by what it says of its sign-in.
fn family(provider: &Node) -> Vec<&'static Preset> {
    let text = |key: &str| provider.find(key).and_then(Node::scalar);
    let host = |url: &str| Url::parse(url).ok()?.host_str().map(str::to_owned);
    let named = text("preset").and_then(presets::named);
    let sign_in = text("token_endpoint").and_then(host);
    let is_at =
        |preset: &&Preset| sign_in.is_some() && preset.text("token_endpoint").and_then(host) == sign_in;
    match named {
        Some(preset) => vec![preset],
        None => presets::all().iter().filter(is_at).collect(),
    }
}

/// Everybody's server of this name, and its protocols.
fn known(host: &str) -> impl Iterator<Item = (&'static Preset, Protocol)> {
    servers().filter(move |(_, _, known)| *known == host).map(|(preset, protocol, _)| (preset, protocol))
}

fn servers() -> impl Iterator<Item = (&'static Preset, Protocol, &'static str)> {
    presets::all()
        .iter()
        .flat_map(|preset| preset.servers.iter().map(move |(of, server)| (preset, *of, server.host.as_str())))
}

fn right(host: &str) -> Value {
    Value::Text(host.to_owned())
}

/// L05: a known server that does not speak the protocol.
fn wrong_place(protocol: Protocol, host: &str, family: &[&Preset]) -> Option<Finding> {
    let owners: Vec<_> = known(host).collect();
    if owners.iter().any(|(_, speaks)| *speaks == protocol) {
        return None;
    }
    let is_family = |preset: &Preset| family.iter().any(|one| one.name == preset.name);
    let (preset, speaks) = *owners.iter().find(|(preset, _)| is_family(preset)).or(owners.first())?;
    let (_, server) = preset.servers.iter().find(|(of, _)| *of == protocol)?;
    let what = match (protocol, speaks) {
        (Protocol::Smtp, _) => "is where mail is fetched",
        (_, Protocol::Smtp) => "is where mail is sent",
        (_, Protocol::Pop3) => "speaks POP3 alone",
        (_, Protocol::Imap) => "speaks IMAP alone",
    };
    let text = format!("`{host}` {what}; write `{}`", server.host);
    Some(Finding::coded("L05", text).right(Some(right(&server.host))))
}

/// L04: a name that is nobody's, and much like one that is known.
fn misspelt(protocol: Protocol, host: &str, family: &[&Preset]) -> Option<Finding> {
    if known(host).next().is_some() {
        return None;
    }
    let begins = MISSPELT.iter().find_map(|(wrong, right)| Some((*right, host.strip_prefix(wrong)?)));
    let said = |meant: &str| format!("`{host}` is spelt wrong; did you mean `{meant}`?");
    if let Some((first, domain)) = begins {
        let meant = format!("{first}{domain}");
        if known(&meant).next().is_some() {
            return Some(Finding::coded("L04", said(&meant)).right(Some(right(&meant))));
        }
        return match nearest(protocol, &meant, family) {
            Some(meant) => Some(Finding::coded("L04", said(meant)).right(Some(right(meant)))),
            // The rest of the name may be anybody's.
            None => Some(Finding::coded("L04", said(&meant))),
        };
    }
    let meant = nearest(protocol, host, family)?;
    Some(Finding::coded("L04", said(meant)).right(Some(right(meant))))
}

/// The known server that was meant; of several that are as near, one that speaks the protocol.
fn nearest(protocol: Protocol, host: &str, family: &[&Preset]) -> Option<&'static str> {
    let is_others = |other: &str| host.strip_suffix(other).is_some_and(|rest| rest.ends_with('.'));
    if OTHERS.iter().any(|other| is_others(other)) {
        return None;
    }
    servers()
        .filter(|(_, _, known)| !is_sister(host, known))
        .filter_map(|(preset, speaks, known)| {
            let is_family = family.iter().any(|one| one.name == preset.name);
            let distance = strsim::damerau_levenshtein(host, known);
            let is_near = (1..=3).contains(&distance) && (is_family || is_misspelling(host, known));
            is_near.then_some((distance, speaks != protocol, known))
        })
        .min()
        .map(|(.., known)| known)
}

/// The same name in another country, or another one of several servers: `imap.gmx.com`, `smtp2.example.com`.
fn is_sister(host: &str, known: &str) -> bool {
    let (Some((host_name, host_end)), Some((known_name, known_end))) =
        (host.rsplit_once('.'), known.rsplit_once('.'))
    else {
        return false;
    };
    let is_elsewhere = host_name == known_name && !(known_end == "com" && MISSPELT_COM.contains(&host_end));
    let without_digits = |text: &str| text.replace(|character: char| character.is_ascii_digit(), "");
    let first = |name: &str| name.split('.').next().map(without_digits);
    let rest = |name: &str| name.split_once('.').map(|(_, rest)| rest.to_owned());
    is_elsewhere || (first(host) == first(known) && rest(host) == rest(known))
}

/// Whether nobody else can have this name, though nothing says whose server is meant: a short name has many neighbours.
fn is_misspelling(host: &str, known: &str) -> bool {
    let (Some((first, domain)), Some((known_first, known_domain))) =
        (host.split_once('.'), known.split_once('.'))
    else {
        return false;
    };
    if domain == known_domain {
        return strsim::damerau_levenshtein(first, known_first) <= 2;
    }
    let own = known_domain.rsplit('.').nth(1).unwrap_or_default();
    first == known_first
        && own.len() >= 5
        && strsim::damerau_levenshtein(domain, known_domain) <= (own.len() / 3).min(3)
}

/// Whose accounts Microsoft's sign-in is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Personal,
    Work,
}

/// The tenant that stands for all personal accounts.
const PERSONAL_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

fn kind(provider: &Node) -> Option<Kind> {
    let text = |key: &str| provider.find(key).and_then(Node::scalar).map(str::trim);
    let tenant = text("tenant").unwrap_or_default();
    let url = Url::parse(&text("token_endpoint")?.replace("{tenant}", tenant)).ok()?;
    microsoft::cloud(&url)?;
    match url.path_segments()?.next()? {
        "consumers" | PERSONAL_TENANT => Some(Kind::Personal),
        "common" | "" => None,
        // A place that is not filled in is complained about where it stands.
        tenant if tenant.contains(['{', '%', '<']) => None,
        _ => Some(Kind::Work),
    }
}

/// L07: the server of the other kind of account.
fn other_kind(host: &str, kind: Option<Kind>) -> Option<Finding> {
    let (whose, meant, belongs) = match (host, kind?) {
        (PERSONAL, Kind::Work) => ("personal accounts", WORK, "accounts of an organisation"),
        (WORK, Kind::Personal) => ("accounts of an organisation", PERSONAL, "personal accounts"),
        _ => return None,
    };
    let text = format!(
        "`{host}` is the server for {whose}, and the sign-in is for {belongs}; write `{meant}`, since mixing \
         them has been reported to fail"
    );
    Some(Finding::coded("L07", text).right(Some(right(meant))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(protocol: Protocol, host: &str, preset: Option<&str>) -> Option<&'static str> {
        let family: Vec<_> = preset.and_then(presets::named).into_iter().collect();
        if known(host).next().is_some() { None } else { nearest(protocol, host, &family) }
    }

    #[test]
    fn no_server_of_a_preset_is_wrong() {
        for (preset, protocol, host) in servers() {
            for family in [&[][..], &[preset]] {
                assert_eq!(wrong_place(protocol, host, family), None, "{host}");
                assert_eq!(misspelt(protocol, host, family), None, "{host}");
            }
        }
    }

    #[test]
    fn a_name_with_a_slip_is_the_known_one() {
        use Protocol::{Imap, Pop3, Smtp};
        for (protocol, host, expected) in [
            (Smtp, "smtp.office360.com", "smtp.office365.com"),
            (Smtp, "smtp.ofice365.com", "smtp.office365.com"),
            (Smtp, "smtp.offlice356.com", "smtp.office365.com"),
            (Pop3, "outlok.office365.com", "outlook.office365.com"),
            (Imap, "outlook.ofice365.com", "outlook.office365.com"),
            (Smtp, "smtp.gmial.com", "smtp.gmail.com"),
            (Imap, "imap.gmail.con", "imap.gmail.com"),
            (Imap, "imapp.gmail.com", "imap.gmail.com"),
            (Smtp, "smtp-mail.outlok.com", "smtp-mail.outlook.com"),
            (Smtp, "smtp.fastmial.com", "smtp.fastmail.com"),
        ] {
            assert_eq!(meant(protocol, host, None), Some(expected), "{host}");
        }
    }

    #[test]
    fn a_name_that_is_somebody_else_s_is_left_alone() {
        use Protocol::{Imap, Smtp};
        for (protocol, host) in [
            (Smtp, "smtp.mail.com"),
            (Smtp, "smtp.email.com"),
            (Smtp, "smtp.mail.de"),
            (Imap, "imap.gmx.com"),
            (Imap, "imap.yandex.ru"),
            (Smtp, "smtp.mail.yahoo.co.jp"),
            (Smtp, "smtp.example.org"),
            (Smtp, "mail.example.com"),
            (Smtp, "smtp.a1.net"),
            (Imap, "imap.one.com"),
            (Smtp, "smtp.zoho.com"),
            (Smtp, "smtp2.seznam.cz"),
            (Smtp, "smtp-legacy.office365.com"),
            (Smtp, "smtp.hve.mx.microsoft"),
            (Imap, "outlook.office.com"),
            (Imap, "localhost"),
        ] {
            assert_eq!(meant(protocol, host, None), None, "{host}");
        }
    }

    #[test]
    fn who_is_meant_decides_about_short_names() {
        for (host, preset, expected) in [
            ("smtp.wbe.de", None, None),
            ("smtp.wbe.de", Some("webde"), Some("smtp.web.de")),
            ("smtp.all.com", None, None),
            ("smtp.all.com", Some("aol"), Some("smtp.aol.com")),
            ("smtp.email.com", Some("google"), None),
            ("smtp.yandex.ru", Some("yandex"), None),
        ] {
            assert_eq!(meant(Protocol::Smtp, host, preset), expected, "{host} {preset:?}");
        }
    }
}
