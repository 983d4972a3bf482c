//! [`Survey`]: how every account and provider stands, as the store and the configuration know it. `gatepost status`, `account
//! list` and the alarms all say what stands here, so that they say the same.

mod judgement;
pub mod refused_login;
mod state;

use std::collections::BTreeMap;
use std::time::SystemTime;

use gatepost_protocol::Protocol;

use crate::account::{Account, AccountId, catch_all};
use crate::config::provider::{GrantType, Login, OAuthClient, Proof, Provider};
use crate::config::{Config, Listener};
use crate::oauth::grant_key;
use crate::store::grants::GrantKey;
use crate::store::standings::Standing;
use crate::store::upstream_logins::UpstreamLogins;
use crate::store::{Store, StoreError};

use self::judgement::Case;
pub use self::judgement::typed;
pub use self::state::{Attention, State, Verdict};

/// How everything stands at a moment.
#[derive(Clone, Debug)]
pub struct Survey {
    /// That moment.
    pub at: SystemTime,
    /// In the order of the store.
    pub accounts: Vec<AccountStanding>,
    /// Those of the configuration, by name.
    pub providers: Vec<ProviderStanding>,
}

/// How an account stands.
#[derive(Clone, Debug)]
pub struct AccountStanding {
    /// The account.
    pub account: Account,
    /// The same, as it is typed behind a command.
    pub typed: String,
    /// What it gets in with; `None` where the configuration does not know its provider.
    pub way: Option<Way>,
    /// The word for it, why, and what to do.
    pub verdict: Verdict,
    /// Who consented, where the provider told.
    pub consent_by: Option<String>,
    /// When the provider last let a login in, to the minute.
    pub last_login: Option<SystemTime>,
    /// What its mail servers made of the last logins, by each protocol that devices can use here.
    pub upstream_logins: Vec<UpstreamLogins>,
    /// Since when one of them refuses logins, where the verdict is about that.
    pub logins_refused_since: Option<SystemTime>,
    /// When tokens last came, by consent or by a refresh.
    pub last_refresh: Option<SystemTime>,
    /// When the access token ends. Gatepost gets another one; people need to do nothing.
    pub token_until: Option<SystemTime>,
    /// When the provider forgets the consent, unless it is used before then.
    pub consent_until: Option<SystemTime>,
}

/// What an account gets in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A person's consent.
    Consent,
    /// What the organisation allows the application.
    Application,
    /// A password of the mailbox.
    Password,
}

impl Way {
    /// The word that scripts read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Application => "application",
            Self::Password => "password",
        }
    }
}

/// How a provider stands.
#[derive(Clone, Debug)]
pub struct ProviderStanding {
    /// As the configuration names it.
    pub name: String,
    /// What Gatepost proves itself with there, where that has an end that is known.
    pub proof: Option<Proof>,
    /// How many accounts there are at it.
    pub accounts: usize,
    /// Whether any of them is switched on: what ends at a provider that nobody uses concerns nobody.
    pub is_used: bool,
}

impl Survey {
    /// Looks at everything once. Opens no secret.
    pub async fn take(config: &Config, store: &Store, now: SystemTime) -> Result<Self, StoreError> {
        let known = Known {
            grants: store.standings().await?,
            passwords: store.password_standings().await?,
            logins: store.last_logins().await?,
            upstream_logins: store.upstream_logins().await?,
        };
        let accounts = store.accounts().await?;
        let typed = Typed::of(&accounts);
        let accounts = accounts
            .iter()
            .map(|account| {
                let provider = config.providers.get(&account.provider).map(AsRef::as_ref);
                known.standing(provider, &config.listeners, &typed.case(account, now))
            })
            .collect();
        Ok(Self::of(config, accounts, now))
    }

    /// Where nothing is stored yet.
    pub fn of_no_accounts(config: &Config, now: SystemTime) -> Self {
        Self::of(config, Vec::new(), now)
    }

    fn of(config: &Config, accounts: Vec<AccountStanding>, now: SystemTime) -> Self {
        let of = |name: &str| -> Vec<_> {
            accounts.iter().filter(|standing| standing.account.provider == name).collect()
        };
        let providers = config
            .providers
            .values()
            .map(|provider| (provider, of(&provider.name)))
            .map(|(provider, accounts)| ProviderStanding {
                name: provider.name.clone(),
                proof: provider.oauth().and_then(|client| Proof::of(client)),
                accounts: accounts.len(),
                is_used: accounts.iter().any(|standing| !standing.account.disabled),
            })
            .collect();
        Self { at: now, accounts, providers }
    }
}

impl AccountStanding {
    /// Whether a message may go out through it, as far as is known: SMTP is let in, whatever other protocols are.
    pub fn can_send(&self) -> bool {
        let refuses = |one: &UpstreamLogins| one.protocol == Protocol::Smtp && one.refused.is_some();
        let is_let_in = self.verdict.state == State::Connected || self.logins_refused_since.is_some();
        is_let_in && !self.upstream_logins.iter().any(refuses)
    }

    /// Who consented or is to consent, where that is another one than the mailbox.
    pub fn another(&self) -> Option<&str> {
        let who = self.consent_by.as_deref().or(self.account.owner.as_deref());
        who.filter(|who| !who.eq_ignore_ascii_case(&self.account.address))
    }
}

/// What the store knows of all accounts.
struct Known {
    grants: BTreeMap<GrantKey, Standing>,
    passwords: BTreeMap<AccountId, Option<String>>,
    logins: BTreeMap<AccountId, SystemTime>,
    upstream_logins: BTreeMap<AccountId, Vec<UpstreamLogins>>,
}

/// The accounts, each with how it is typed behind a command.
struct Typed<'a>(BTreeMap<AccountId, (&'a Account, String)>);

impl<'a> Typed<'a> {
    fn of(accounts: &'a [Account]) -> Self {
        let mut at = BTreeMap::<String, usize>::new();
        for account in accounts {
            *at.entry(account.address.to_ascii_lowercase()).or_default() += 1;
        }
        let several =
            |account: &Account| at.get(&account.address.to_ascii_lowercase()).is_some_and(|count| *count > 1);
        let typed =
            |account: &'a Account| (account.id, (account, judgement::typed(account, several(account))));
        Self(accounts.iter().map(typed).collect())
    }

    fn case(&'a self, account: &'a Account, now: SystemTime) -> Case<'a> {
        let typed = |id| self.0.get(&id).map(|(account, typed)| (*account, typed.as_str()));
        Case {
            account,
            typed: typed(account.id).map_or(account.address.as_str(), |(_, typed)| typed),
            lender: account.token_account.and_then(typed),
            now,
        }
    }
}

impl Known {
    fn standing(
        &self,
        provider: Option<&Provider>,
        listeners: &[Listener],
        case: &Case<'_>,
    ) -> AccountStanding {
        let account = case.account;
        let client = provider.and_then(|provider| provider.oauth());
        let grant = client.and_then(|client| self.grant(client, account));
        let verdict = match provider.map(|provider| &provider.login) {
            _ if account.disabled => case.disabled(),
            None => case.unknown_provider(),
            Some(Login::Password) => case.of_password(self.passwords.get(&account.id)),
            Some(Login::OAuth(client)) => case.of_grant(client, grant),
        };
        let upstream_logins = provider.map(|provider| self.logins_by(provider, listeners, account.id));
        let upstream_logins = upstream_logins.unwrap_or_default();
        // What it gets in with comes first: without that, no server is asked.
        let of_logins = case.of_logins(&upstream_logins).filter(|_| verdict.state == State::Connected);
        let logins_refused_since =
            of_logins.as_ref().and_then(|_| upstream_logins.iter().filter_map(|one| one.refused_since).min());
        let verdict = of_logins.unwrap_or(verdict);
        let way = provider.map(|provider| match &provider.login {
            Login::Password => Way::Password,
            Login::OAuth(client) if client.grant.needs_person() => Way::Consent,
            Login::OAuth(_) => Way::Application,
        });
        AccountStanding {
            way,
            verdict,
            consent_by: grant.and_then(|grant| grant.identity.clone()),
            last_login: self.logins.get(&account.id).copied(),
            upstream_logins,
            logins_refused_since,
            last_refresh: grant.and_then(|grant| grant.issued_at),
            token_until: grant.and_then(|grant| grant.expires_at),
            consent_until: client
                .zip(grant)
                .and_then(|(client, grant)| judgement::consent_until(client, grant)),
            account: account.clone(),
            typed: case.typed.to_owned(),
        }
    }

    /// What was noted of the account's logins, by the protocols that the provider has and that a listener serves: what no device
    /// can use concerns nobody.
    fn logins_by(&self, provider: &Provider, listeners: &[Listener], id: AccountId) -> Vec<UpstreamLogins> {
        let serves = |listener: &Listener, protocol| {
            listener.protocol == protocol
                && listener.provider.as_ref().is_none_or(|name| *name == provider.name)
        };
        let is_used = |one: &&UpstreamLogins| {
            provider.endpoint(one.protocol).is_some()
                && listeners.iter().any(|listener| serves(listener, one.protocol))
        };
        self.upstream_logins.get(&id).into_iter().flatten().filter(is_used).cloned().collect()
    }

    /// The grant that the account uses. A service account has one for each mailbox, and a catch-all account many mailboxes: the
    /// newest speaks for all. What never had a token there may be a wrong name that somebody typed, and speaks for none.
    fn grant(&self, client: &OAuthClient, account: &Account) -> Option<&Standing> {
        if client.grant != GrantType::ServiceAccount || catch_all::domain(&account.address).is_none() {
            return self.grants.get(&grant_key(client, account));
        }
        let of_account = |key: &GrantKey| matches!(key, GrantKey::Mailbox(id, _) if *id == account.id);
        let grants = self.grants.iter().filter(|(key, grant)| of_account(key) && !grant.never_had_token());
        grants.map(|(_, grant)| grant).max_by_key(|grant| grant.issued_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::oauth::tests::client;

    #[test]
    fn a_wrong_name_speaks_for_an_account_with_one_mailbox_alone() {
        let client = OAuthClient { grant: GrantType::ServiceAccount, ..client() };
        let never = Standing { version: 1, ..Standing::default() };
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        let had = |seconds| Standing { issued_at: at(seconds), expires_at: at(seconds), ..never.clone() };
        for (address, grants, expected) in [
            ("ann@example.com", &[("ann@example.com", never.clone())][..], Some(None)),
            ("*@example.com", &[("an@example.com", never.clone())], None),
            (
                "*@example.com",
                &[("a@example.com", had(1)), ("b@example.com", had(2)), ("c@example.com", never.clone())],
                Some(at(2)),
            ),
        ] {
            let account = Account {
                id: AccountId(1),
                address: address.to_owned(),
                provider: "example".to_owned(),
                smtp_user_name: None,
                pop3_user_name: None,
                imap_user_name: None,
                owner: None,
                token_account: None,
                disabled: false,
            };
            let key = |mailbox: &str| GrantKey::Mailbox(account.id, mailbox.to_owned());
            let grants = grants.iter().map(|(mailbox, grant)| (key(mailbox), grant.clone())).collect();
            let (passwords, logins) = (BTreeMap::new(), BTreeMap::new());
            let known = Known { grants, passwords, logins, upstream_logins: BTreeMap::new() };
            let found = known.grant(&client, &account).map(|grant| grant.issued_at);
            assert_eq!(found, expected, "{address}");
        }
    }
}
