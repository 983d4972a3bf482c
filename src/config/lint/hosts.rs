//! L04, L05, L07: names of mail servers that were spelt or placed wrong. Rule: an error keeps Gatepost from starting, so only what
//! cannot be right is one; what is merely likely is a warning, and `--fix` leaves it. A name that somebody chose, like `mail.` or
//! `imap-mail.`, is never a misspelling of another one.

use gatepost_protocol::Protocol;
use url::Url;

use super::super::complaint::Finding;
use super::super::edit::Value;
use super::super::file::Node;
use super::super::microsoft;
use super::super::presets::{self, Preset};
use super::super::section::Field;
use super::urls;

/// First parts that are no protocol's, at any domain. `smtplib` is a library's name that found its way into a vendor's manual.
const MISSPELT: [&str; 3] = ["smpt.", "smtplib.", "stmp."];

/// First parts that people choose for mail servers: alone, or before a `-` or a digit.
const CHOSEN: [&str; 16] = [
    "email",
    "exchange",
    "imap",
    "imaps",
    "mail",
    "mails",
    "mta",
    "mx",
    "outlook",
    "pop",
    "pops",
    "post",
    "relay",
    "smtp",
    "smtps",
    "submission",
];

/// Domains of others that look much like one of the presets, beside the presets' own.
const OTHERS: [&str; 6] = ["email.com", "hotmail.com", "live.com", "mail.com", "mail.de", "office.com"];

/// What people write in place of `com`, and is no top-level domain.
const NOT_COM: [&str; 5] = ["cmo", "comm", "con", "coom", "ocm"];

/// What people write in place of `com`, and is a country's.
const HARDLY_COM: [&str; 3] = ["cm", "co", "om"];

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

/// Whose servers the provider can only have, by what it says of its sign-in. Nobody's password or token goes to another one because
/// of a repair.
enum Family {
    Anybody,
    /// Of one of these presets, or of none that is known.
    Of(Vec<&'static Preset>),
}

impl Family {
    fn has(&self, preset: &Preset) -> bool {
        matches!(self, Self::Of(presets) if presets.iter().any(|one| one.name == preset.name))
    }

    fn excludes(&self, preset: &Preset) -> bool {
        matches!(self, Self::Of(_)) && !self.has(preset)
    }
}

fn family(provider: &Node) -> Family {
    let text = |key: &str| provider.find(key).and_then(Node::scalar);
    if let Some(preset) = text("preset").and_then(presets::named) {
        return Family::Of(vec![preset]);
    }
    let host = |url: &str| urls::bare(url)?.host_str().map(str::to_owned);
    let Some(sign_in) = text("token_endpoint").or_else(|| text("issuer")) else { return Family::Anybody };
    let sign_in = host(sign_in);
    let is_at =
        |preset: &&Preset| sign_in.is_some() && preset.text("token_endpoint").and_then(host) == sign_in;
    Family::Of(presets::all().iter().filter(is_at).collect())
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

/// L05: a known server that does not speak the protocol. It is certain only of providers whose servers are all documented.
fn wrong_place(protocol: Protocol, host: &str, family: &Family) -> Option<Finding> {
    let owners: Vec<_> = known(host).collect();
    if owners.iter().any(|(_, speaks)| *speaks == protocol) {
        return None;
    }
    let (preset, speaks) = *owners.iter().find(|(preset, _)| family.has(preset)).or(owners.first())?;
    let meant = server(preset, protocol)?;
    let what = match (protocol, speaks) {
        (Protocol::Smtp, _) => "is where mail is fetched",
        (_, Protocol::Smtp) => "is where mail is sent",
        (_, Protocol::Pop3) => "speaks POP3 alone",
        (_, Protocol::Imap) => "speaks IMAP alone",
    };
    if preset.unverified.is_empty() {
        let text = format!("`{host}` {what}; write `{meant}`");
        let value = Some(right(meant)).filter(|_| !family.excludes(preset));
        return Some(Finding::coded("L05", text).right(value));
    }
    let text = format!("`{host}` {what}, as far as is known; where it does not work, write `{meant}`");
    Some(Finding::coded("L05", text).likely())
}

/// The preset's server for a protocol.
fn server(preset: &'static Preset, protocol: Protocol) -> Option<&'static str> {
    preset.servers.iter().find(|(of, _)| *of == protocol).map(|(_, server)| server.host.as_str())
}

/// How sure it is that another name was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slip {
    Certain,
    Likely,
}

/// L04: a name that is nobody's, and much like one that is known.
fn misspelt(protocol: Protocol, host: &str, family: &Family) -> Option<Finding> {
    if known(host).next().is_some() {
        return None;
    }
    let said =
        |meant: &str| Finding::coded("L04", format!("`{host}` is spelt wrong; did you mean `{meant}`?"));
    let certain = |meant: &str| said(meant).right(Some(right(meant)));
    let domain = MISSPELT.iter().find_map(|first| host.strip_prefix(first)).filter(|it| it.contains('.'));
    if let Some(domain) = domain {
        let written = format!("smtp.{domain}");
        return Some(match nearest(protocol, &written, family) {
            Some((Slip::Certain, meant)) => certain(meant),
            // The rest of the name may be anybody's.
            _ => said(&written),
        });
    }
    Some(match nearest(protocol, host, family)? {
        (Slip::Certain, meant) => certain(meant),
        (Slip::Likely, meant) => {
            let text = format!("`{host}` is much like `{meant}`; write that if it was meant");
            Finding::coded("L04", text).likely()
        }
    })
}

/// The server that was meant: what the provider has for the protocol.
fn nearest(protocol: Protocol, host: &str, family: &Family) -> Option<(Slip, &'static str)> {
    if is_others(host) {
        return None;
    }
    servers()
        .filter_map(|(preset, speaks, known)| {
            let is_family = family.has(preset);
            let slip = if host == known { Slip::Certain } else { slip(host, known, is_family)? };
            let slip = if family.excludes(preset) { Slip::Likely } else { slip };
            Some(((slip, speaks != protocol, !is_family), server(preset, protocol)?))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|((slip, ..), meant)| (slip, meant))
}

/// Whether its domain, or one above it, is known to be somebody's who is not meant by a server's name.
fn is_others(host: &str) -> bool {
    let is_at = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let has_server = |domain: &str| servers().any(|(_, _, known)| known.ends_with(domain));
    let of_presets = presets::all().iter().flat_map(|preset| &preset.domains).map(String::as_str);
    OTHERS.into_iter().chain(of_presets.filter(|domain| !has_server(domain))).any(is_at)
}

/// Whether `host` was to be `known`, from which it differs in one part. Of a server's first part somebody else may have another
/// one, and of the domain there are the neighbours: a short name has many.
fn slip(host: &str, known: &str, is_family: bool) -> Option<Slip> {
    let parts: Vec<&str> = host.split('.').collect();
    let known_parts: Vec<&str> = known.split('.').collect();
    if parts.len() != known_parts.len() {
        // A full stop too many or too few.
        return (host.replace('.', "") == known.replace('.', "")).then_some(Slip::Likely);
    }
    let last = parts.len().checked_sub(1)?;
    let mut different = parts.iter().zip(&known_parts).enumerate().filter(|(_, (one, other))| one != other);
    let (place, (written, meant)) = different.next()?;
    match place {
        _ if different.next().is_some() => None,
        0 if is_chosen(written) => None,
        0 => slip_of_word(written, meant),
        _ if place == last => slip_of_end(written, meant),
        _ => slip_of_name(written, meant, is_family),
    }
}

fn is_chosen(first: &str) -> bool {
    let ends = |rest: &str| {
        rest.chars().next().is_none_or(|character| character == '-' || character.is_ascii_digit())
    };
    CHOSEN.iter().any(|word| first.strip_prefix(word).is_some_and(ends))
}

/// At the provider's own domain.
fn slip_of_word(written: &str, meant: &str) -> Option<Slip> {
    if is_slip_of_hand(written, meant) {
        return Some(Slip::Certain);
    }
    (strsim::damerau_levenshtein(written, meant) == 1).then_some(Slip::Likely)
}

fn slip_of_end(written: &str, meant: &str) -> Option<Slip> {
    match (meant, written) {
        ("com", end) if NOT_COM.contains(&end) => Some(Slip::Certain),
        ("com", end) if HARDLY_COM.contains(&end) => Some(Slip::Likely),
        _ => None,
    }
}

/// With the server's first part unchanged.
fn slip_of_name(written: &str, meant: &str, is_family: bool) -> Option<Slip> {
    let distance = strsim::damerau_levenshtein(written, meant);
    let is_long = meant.len() >= 8;
    let same_start = written.chars().next() == meant.chars().next();
    // Nobody else has a name like `office365`.
    let is_unique = is_long && meant.contains(|character: char| character.is_ascii_digit()) && same_start;
    match meant.len() {
        0..5 if !is_family => None,
        _ if is_slip_of_hand(written, meant) || (is_unique && distance <= 2) => Some(Slip::Certain),
        // The preset says who is meant.
        5.. if is_family && distance == 1 => Some(Slip::Certain),
        _ if distance == 1 || (is_unique && distance <= 3) || (is_long && distance == 2) => {
            Some(Slip::Likely)
        }
        _ => None,
    }
}

/// Two letters in each other's place, a letter twice, or one of two that are alike left out: no other word comes of these.
fn is_slip_of_hand(written: &str, meant: &str) -> bool {
    let without_repeats = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.dedup();
        letters
    };
    let is_swap = strsim::levenshtein(written, meant) == 2;
    strsim::damerau_levenshtein(written, meant) == 1
        && (is_swap || without_repeats(written) == without_repeats(meant))
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
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use super::super::super::complaint::Complaints;
    use super::*;

    use Protocol::{Imap, Pop3, Smtp};

    /// Whether it keeps Gatepost from starting, and what `--fix` writes. The preset `""` is a sign-in that nobody knows.
    fn judged(protocol: Protocol, host: &str, preset: Option<&str>) -> Option<(bool, Option<Value>)> {
        let family = match preset {
            Some("") => Family::Of(Vec::new()),
            Some(preset) => Family::Of(vec![presets::named(preset).unwrap()]),
            None => Family::Anybody,
        };
        let complaints = Complaints::new(Path::new("gatepost.yaml"));
        let finding = wrong_place(protocol, host, &family).or_else(|| misspelt(protocol, host, &family))?;
        complaints.add(None, "", finding, Some((0, Value::Text(host.to_owned()))));
        let complaint = complaints.into_sorted().pop().unwrap();
        Some((complaint.is_error(), complaint.repair.map(|repair| repair.new)))
    }

    fn everybody() -> impl Iterator<Item = Option<&'static str>> {
        presets::all().iter().map(|preset| Some(preset.name.as_str())).chain([Some(""), None])
    }

    #[test]
    fn no_server_of_a_preset_is_wrong() {
        for (_, protocol, host) in servers() {
            for family in everybody() {
                assert_eq!(judged(protocol, host, family), None, "{host} {family:?}");
            }
        }
    }

    #[test]
    fn right_names_are_left_alone_whatever_the_preset() {
        for host in [
            "localhost",
            "127.0.0.1",
            "192.168.1.10",
            "2001:db8::25",
            "mail.example.com",
            "smtp.contoso.com",
            "outlook.contoso.com",
            "imap.contoso.com",
            "impa.br",
            "imap-mail.outlook.com",
            "pop-mail.outlook.com",
            "outlook.office.com",
            "smtp-legacy.office365.com",
            "smtp.hve.mx.microsoft",
            "smtp.googlemail.com",
            "imap.googlemail.com",
            "pop.googlemail.com",
            "smtp.gmx.net",
            "smtp.gmx.com",
            "imap.gmx.com",
            "mail.gmx.com",
            "pop.gmx.com",
            "pop3.gmx.net",
            "pop.web.de",
            "pop.yandex.com",
            "pop.yandex.ru",
            "imap.yandex.ru",
            "smtp.yandex.ru",
            "pop.mail.ru",
            "mx.yandex.com",
            "pop.seznam.cz",
            "smtp2.seznam.cz",
            "imap.mail.yahoo.co.jp",
            "smtp.mail.yahoo.co.jp",
            "smtp.ymail.com",
            "mail.messagingengine.com",
            "smtp.mail.com",
            "smtp.email.com",
            "smtp.mail.de",
            "smtp.office.de",
            "smtp.a1.net",
            "imap.one.com",
            "smtp.zoho.com",
        ] {
            for protocol in Protocol::ALL {
                for family in everybody() {
                    assert_eq!(judged(protocol, host, family), None, "{protocol} {host} {family:?}");
                }
            }
        }
    }

    #[test]
    fn a_name_with_a_slip_is_repaired_with_the_server_for_the_protocol() {
        for (protocol, host, preset, expected) in [
            (Smtp, "smtplib.office365.com", None, "smtp.office365.com"),
            (Smtp, "smtp.office360.com", None, "smtp.office365.com"),
            (Smtp, "smtp.ofice365.com", None, "smtp.office365.com"),
            (Smtp, "smtp.offlice356.com", None, "smtp.office365.com"),
            (Smtp, "smpt.offlice365.com", None, "smtp.office365.com"),
            (Smtp, "outlok.office365.com", None, "smtp.office365.com"),
            (Pop3, "outlok.office365.com", None, "outlook.office365.com"),
            (Imap, "outlook.ofice365.com", None, "outlook.office365.com"),
            (Imap, "smpt.gmail.com", None, "imap.gmail.com"),
            (Smtp, "stmp.gmail.com", None, "smtp.gmail.com"),
            (Smtp, "smtp.gmial.com", None, "smtp.gmail.com"),
            (Imap, "imap.gmail.con", None, "imap.gmail.com"),
            (Imap, "iamp.gmail.com", None, "imap.gmail.com"),
            (Imap, "imapp.gmail.com", None, "imap.gmail.com"),
            (Smtp, "smtp-mail.outlok.com", None, "smtp-mail.outlook.com"),
            (Smtp, "smtp.fastmial.com", None, "smtp.fastmail.com"),
            (Smtp, "smtp.gnail.com", Some("google"), "smtp.gmail.com"),
            (Smtp, "smtp.wbe.de", Some("webde"), "smtp.web.de"),
        ] {
            let expected = Some((true, Some(right(expected))));
            assert_eq!(judged(protocol, host, preset), expected, "{host} {preset:?}");
        }
    }

    #[test]
    fn what_is_only_likely_is_a_warning_without_repair() {
        for (protocol, host, preset) in [
            (Smtp, "smtp.grail.com", None),
            (Smtp, "smtp.gnail.com", None),
            (Imap, "imap.firstmail.com", None),
            (Smtp, "smtp.myoffice365.com", None),
            (Smtp, "smtp.gmail.co", None),
            (Smtp, "asmtp.web.de", Some("webde")),
            (Smtp, "smtp.all.com", Some("aol")),
            (Smtp, "smtpoffice365.com", None),
            (Imap, "mail.gmx.net", Some("gmx")),
            (Smtp, "partner.outlook.cn", Some("microsoft365-china")),
        ] {
            assert_eq!(judged(protocol, host, preset), Some((false, None)), "{host} {preset:?}");
        }
    }

    #[test]
    fn a_repair_never_leads_to_another_provider() {
        for (protocol, host, preset, is_error) in [
            (Smtp, "smtp.gmial.com", "yahoo", false),
            (Pop3, "outlok.office365.com", "", false),
            (Smtp, "smtp.ofice365.com", "outlook", false),
            (Smtp, "smtplib.office365.com", "google", true),
            (Imap, "smtp.gmail.com", "yahoo", true),
        ] {
            assert_eq!(judged(protocol, host, Some(preset)), Some((is_error, None)), "{host} {preset}");
        }
    }

    #[test]
    fn a_library_s_name_is_an_error_at_any_domain_and_nobody_knows_the_right_one() {
        for host in ["smtplib.contoso.com", "smpt.contoso.com", "stmp.grail.com"] {
            assert_eq!(judged(Smtp, host, None), Some((true, None)), "{host}");
        }
    }

    #[test]
    fn nothing_is_written_that_does_not_speak_the_protocol() {
        for (protocol, host) in
            [(Pop3, "imapp.yandex.com"), (Pop3, "iamp.mail.ru"), (Pop3, "imap.yandex.com")]
        {
            assert_eq!(judged(protocol, host, None), None, "{host}");
        }
    }
}
