//! [`Misfit`]: what in a token, in its own words or those in the store, does not fit the mailbox or the provider. A provider that
//! refuses a token mostly does not say why; this does. A misfit is a hint, and stops nothing: the provider decides.

use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;
use url::Url;

use super::Remark;
use crate::account::Account;
use crate::clock::utc;
use crate::config::provider::OAuthClient;
use crate::oauth::claims::Claims;

/// Exchange Online as the audience of a token, in Microsoft's clouds.
const EXCHANGE: [&str; 4] =
    ["outlook.office.com", "outlook.office365.com", "outlook.office365.us", "partner.outlook.cn"];

/// Microsoft Graph as the audience of a token.
const GRAPH: [&str; 2] = ["graph.microsoft.com", "00000003-0000-0000-c000-000000000000"];

/// What Exchange Online wants for each protocol: of a person's consent, and of an application alone.
const PERMISSIONS: [(Protocol, [&str; 2]); 3] = [
    (Protocol::Smtp, ["SMTP.Send", "SMTP.SendAsApp"]),
    (Protocol::Pop3, ["POP.AccessAsUser.All", "POP.AccessAsApp"]),
    (Protocol::Imap, ["IMAP.AccessAsUser.All", "IMAP.AccessAsApp"]),
];

/// Scopes that open no mailbox, and that providers do not name in what they grant.
const NO_PERMISSIONS: [&str; 4] = ["offline_access", "openid", "profile", "email"];

/// Clocks that differ by more are told of; providers take tokens a few minutes around their time.
const CLOCKS_DIFFER: Duration = Duration::from_mins(5);

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is for another service than the mail servers.
    Audience { says: String, is_graph: bool },
    /// It lacks what this protocol needs; every one where `None`.
    Permission { protocol: Option<Protocol>, missing: String, is_application: bool },
    /// Somebody else signed in than the mailbox's owner.
    Stranger { owner: String, expected: String },
    /// It has ended already.
    Ended { at: SystemTime, now: SystemTime },
    /// The provider's clock says something else than ours.
    Clock { theirs: SystemTime, ours: SystemTime },
}

/// What is known of a token.
pub(super) struct Known<'a> {
    pub(super) client: &'a OAuthClient,
    pub(super) account: &'a Account,
    pub(super) claims: Option<&'a Claims>,
    /// As granted.
    pub(super) scopes: &'a [String],
    /// Who consented.
    pub(super) identity: Option<&'a str>,
    pub(super) now: SystemTime,
    /// By the token endpoint's clock.
    pub(super) theirs: Option<SystemTime>,
}

impl Known<'_> {
    /// All that does not fit.
    pub(super) fn misfits(&self) -> Vec<Misfit> {
        let mut found = Vec::new();
        match self.audience() {
            // Its permissions are those of the other service.
            Some(misfit) => found.push(misfit),
            None => found.extend(self.permissions()),
        }
        found.extend(self.stranger());
        found.extend(self.times());
        found
    }

    fn is_exchange(&self) -> bool {
        self.client
            .scopes
            .iter()
            .any(|scope| host(scope).is_some_and(|host| EXCHANGE.contains(&host.as_str())))
    }

    fn audience(&self) -> Option<Misfit> {
        let audience = &self.claims?.audience;
        let names: Vec<String> =
            audience.iter().map(|name| host(name).unwrap_or_else(|| name.clone())).collect();
        let is_graph = names.iter().any(|name| GRAPH.contains(&name.as_str()));
        // Of an audience that is no URL nobody knows which service it is.
        let is_other_host = |name: &String| host(name).is_some_and(|host| !EXCHANGE.contains(&host.as_str()));
        let wrong =
            is_graph || self.is_exchange() && !audience.is_empty() && audience.iter().all(is_other_host);
        wrong.then(|| Misfit::Audience { says: audience.join(", "), is_graph })
    }

    fn permissions(&self) -> Vec<Misfit> {
        let empty = Claims::default();
        let claims = self.claims.unwrap_or(&empty);
        let says = [claims.scopes.as_slice(), &claims.roles].concat();
        let has: Vec<&str> = if says.is_empty() { self.scopes } else { &says }
            .iter()
            .map(|scope| scope.rsplit('/').next().unwrap_or(scope))
            .filter(|scope| !NO_PERMISSIONS.contains(scope) && *scope != ".default")
            .collect();
        if has.is_empty() {
            return Vec::new();
        }
        let is_application = !self.client.grant.needs_person();
        if self.is_exchange() {
            return PERMISSIONS
                .into_iter()
                .filter(|(_, [person, application])| {
                    !has.iter().any(|scope| {
                        scope.eq_ignore_ascii_case(person) || scope.eq_ignore_ascii_case(application)
                    })
                })
                .map(|(protocol, [person, application])| Misfit::Permission {
                    protocol: Some(protocol),
                    missing: if is_application { application } else { person }.to_owned(),
                    is_application,
                })
                .collect();
        }
        let missing: Vec<&str> = self
            .client
            .scopes
            .iter()
            .map(String::as_str)
            .filter(|scope| !NO_PERMISSIONS.contains(scope) && !scope.ends_with("/.default"))
            .filter(|scope| !self.scopes.is_empty() && !self.scopes.iter().any(|granted| granted == scope))
            .collect();
        if missing.is_empty() {
            return Vec::new();
        }
        vec![Misfit::Permission { protocol: None, missing: missing.join(" "), is_application }]
    }

    fn stranger(&self) -> Option<Misfit> {
        let Self { client, account, claims, identity, .. } = self;
        // A delegate's token is meant to be somebody else's.
        if !client.grant.needs_person() || account.token_account.is_some() {
            return None;
        }
        let says = claims.map(|claims| claims.names.as_slice()).unwrap_or_default();
        let names: Vec<&str> = says.iter().map(String::as_str).chain(*identity).collect();
        let expected = account.expected_owner();
        let fits = |name: &&str| name.eq_ignore_ascii_case(expected);
        let owner = names.first().filter(|_| !names.iter().any(fits))?;
        Some(Misfit::Stranger { owner: (*owner).to_owned(), expected: expected.to_owned() })
    }

    fn times(&self) -> Option<Misfit> {
        let apart = |one: SystemTime, other: SystemTime| {
            one.duration_since(other).unwrap_or_else(|error| error.duration())
        };
        if let Some(theirs) = self.theirs.filter(|theirs| apart(*theirs, self.now) > CLOCKS_DIFFER) {
            return Some(Misfit::Clock { theirs, ours: self.now });
        }
        let at = self.claims?.expires_at.filter(|end| *end <= self.now)?;
        Some(Misfit::Ended { at, now: self.now })
    }
}

impl Misfit {
    /// Whether it may be why this protocol's server refuses the token.
    pub(super) fn concerns(&self, service: Protocol) -> bool {
        !matches!(self, Self::Permission { protocol: Some(protocol), .. } if *protocol != service)
    }

    /// For people.
    pub(super) fn remark(&self, account: &Account, client: &OAuthClient) -> Remark {
        let (address, name) = (&account.address, &client.provider);
        let again = format!("Then connect the mailbox again: gatepost connect {address}");
        let (title, cause, fix) = match self {
            Self::Audience { says, is_graph } => (
                "The token is for another service than the mail servers".to_owned(),
                if *is_graph {
                    format!(
                        "Its audience is {says}, which is Microsoft Graph. No mail server takes such a token."
                    )
                } else {
                    format!("Its audience is {says}. The mail servers take tokens for Exchange Online alone.")
                },
                format!(
                    "Write into `scopes` of the provider `{name}` only scopes that begin with \
                     https://outlook.office.com/, and `offline_access`; leave `scopes` out to get them from the preset. \
                     {again}"
                ),
            ),
            Self::Permission { protocol, missing, is_application } => (
                match protocol {
                    Some(protocol) => format!("The token lacks the permission for {protocol}"),
                    None => "The token lacks a permission that was asked for".to_owned(),
                },
                format!("It was granted without {missing}."),
                if *is_application {
                    format!(
                        "The organisation's admin adds the application permission {missing} to the registered \
                         application, and grants admin consent."
                    )
                } else {
                    format!(
                        "Look whether {missing} is among the `scopes` of the provider `{name}` and among the permissions \
                         of the registered application. {again}"
                    )
                },
            ),
            Self::Stranger { owner, expected } => (
                format!("{owner} consented, and not {expected}"),
                format!(
                    "Servers open {address} to its owner's token, and to somebody else's only with the rights of a \
                     delegate. An admin who consents does so for the admin's own mailbox."
                ),
                format!(
                    "Connect again, and sign in as {expected}: gatepost connect {address}. Where {owner} shall open it as \
                     a delegate: gatepost account set {address} --owner {owner}"
                ),
            ),
            Self::Ended { at, now } => (
                "The token has ended by this machine's clock".to_owned(),
                format!("It says that it is good until {}; here it is {}.", minute(*at), minute(*now)),
                "Set this machine's clock, and keep it right with NTP.".to_owned(),
            ),
            Self::Clock { theirs, ours } => (
                "This machine's clock is wrong".to_owned(),
                format!("The token endpoint says it is {}; here it is {}.", minute(*theirs), minute(*ours)),
                "Set this machine's clock, and keep it right with NTP.".to_owned(),
            ),
        };
        Remark { title, cause, fix }
    }
}

/// The host of a scope or an audience that is a URL.
fn host(name: &str) -> Option<String> {
    Url::parse(name).ok()?.host_str().map(str::to_owned)
}

fn minute(moment: SystemTime) -> String {
    let moment = utc(moment);
    format!("{} {:02}:{:02} UTC", moment.date(), moment.hour(), moment.minute())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::config::provider::GrantType;
    use crate::oauth::tests::client;
    use crate::store::accounts::AccountId;

    fn now() -> SystemTime {
        datetime!(2026-11-22 12:00 UTC).into()
    }

    fn account() -> Account {
        Account {
            id: AccountId(1),
            address: "ann@contoso.com".to_owned(),
            provider: "contoso".to_owned(),
            smtp_user_name: None,
            pop3_user_name: None,
            imap_user_name: None,
            owner: None,
            token_account: None,
            disabled: false,
        }
    }

    fn exchange() -> OAuthClient {
        OAuthClient { scopes: words(&["https://outlook.office.com/SMTP.Send", "offline_access"]), ..client() }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// All that fits.
    fn claims() -> Claims {
        Claims {
            audience: words(&["https://outlook.office.com"]),
            scopes: words(&["SMTP.Send", "POP.AccessAsUser.All", "IMAP.AccessAsUser.All"]),
            roles: Vec::new(),
            names: words(&["Ann@contoso.com"]),
            expires_at: Some(now() + Duration::from_mins(59)),
        }
    }

    fn found(client: &OAuthClient, account: &Account, claims: &Claims, theirs: SystemTime) -> Vec<Misfit> {
        let known = Known {
            client,
            account,
            claims: Some(claims),
            scopes: &[],
            identity: None,
            now: now(),
            theirs: Some(theirs),
        };
        known.misfits()
    }

    #[test]
    fn a_token_that_fits_is_not_spoken_of() {
        let (claims, close) = (claims(), now() + Duration::from_secs(90));
        assert_eq!(found(&exchange(), &account(), &claims, close), []);
        let guid = Claims { audience: words(&["00000002-0000-0ff1-ce00-000000000000"]), ..claims.clone() };
        assert_eq!(found(&exchange(), &account(), &guid, close), [], "an id of which nothing is known");
        assert_eq!(found(&client(), &account(), &claims, close), [], "another provider");
        let delegate = Account { token_account: Some(AccountId(2)), ..account() };
        let other = Claims { names: words(&["bob@contoso.com"]), ..claims };
        assert_eq!(found(&exchange(), &delegate, &other, close), []);
        let meant = Account { owner: Some("bob@contoso.com".to_owned()), ..account() };
        assert_eq!(found(&exchange(), &meant, &other, close), []);
    }

    #[test]
    fn each_thing_that_does_not_fit_is_found() {
        let (close, fits) = (now(), claims());
        for graph in ["https://graph.microsoft.com", "https://graph.microsoft.com/", GRAPH[1]] {
            let claims = Claims { audience: words(&[graph]), ..fits.clone() };
            let expected = Misfit::Audience { says: graph.to_owned(), is_graph: true };
            assert_eq!(found(&exchange(), &account(), &claims, close), [expected]);
        }
        let claims = Claims { audience: words(&["https://vault.azure.net"]), ..fits.clone() };
        let expected = Misfit::Audience { says: "https://vault.azure.net".to_owned(), is_graph: false };
        assert_eq!(found(&exchange(), &account(), &claims, close), [expected]);

        let claims = Claims { scopes: words(&["SMTP.Send", "imap.accessasuser.all"]), ..fits.clone() };
        let misfits = found(&exchange(), &account(), &claims, close);
        let lacks = |protocol, missing: &str, is_application| Misfit::Permission {
            protocol: Some(protocol),
            missing: missing.to_owned(),
            is_application,
        };
        assert_eq!(misfits, [lacks(Protocol::Pop3, "POP.AccessAsUser.All", false)]);
        assert!(misfits.iter().all(|misfit| misfit.concerns(Protocol::Pop3)));
        assert!(!misfits.iter().any(|misfit| misfit.concerns(Protocol::Imap)));

        let application = OAuthClient { grant: GrantType::ClientCredentials, ..exchange() };
        let roles = words(&["SMTP.SendAsApp", "IMAP.AccessAsApp"]);
        let claims = Claims { scopes: Vec::new(), roles, names: Vec::new(), ..fits.clone() };
        let misfits = found(&application, &account(), &claims, close);
        assert_eq!(misfits, [lacks(Protocol::Pop3, "POP.AccessAsApp", true)]);

        let claims = Claims { names: words(&["admin@contoso.com"]), ..fits.clone() };
        let (owner, expected) = ("admin@contoso.com".to_owned(), "ann@contoso.com".to_owned());
        assert_eq!(found(&exchange(), &account(), &claims, close), [Misfit::Stranger { owner, expected }]);

        let claims = Claims { expires_at: Some(now()), ..fits.clone() };
        assert_eq!(found(&exchange(), &account(), &claims, close), [Misfit::Ended { at: now(), now: now() }]);
        for theirs in [now() - Duration::from_mins(6), now() + Duration::from_hours(1)] {
            let expected = Misfit::Clock { theirs, ours: now() };
            assert_eq!(found(&exchange(), &account(), &fits, theirs), [expected]);
        }
    }

    #[test]
    fn what_was_asked_for_and_not_granted_is_found_at_any_provider() {
        let client = client();
        for (granted, misfits) in [(&[][..], 0), (&["mail"][..], 0), (&["contacts"][..], 1)] {
            let (account, scopes) = (account(), words(granted));
            let known = Known {
                client: &client,
                account: &account,
                claims: None,
                scopes: &scopes,
                identity: None,
                now: now(),
                theirs: None,
            };
            assert_eq!(known.misfits().len(), misfits, "{granted:?}");
        }
    }
}
