//! [`Case`]: from what is known of an account to its [`Verdict`]. The rule: whoever reads the one line of an account must know
//! what to do, so reasons and steps are sentences for people, and commands can be pasted.

use std::time::{Duration, SystemTime};

use super::state::{State, Verdict};
use crate::account::Account;
use crate::account::catch_all::domain;
use crate::clock::utc;
use crate::config::provider::{OAuthClient, Proof};
use crate::oauth::diagnosis::{EndpointError, aadsts_number};
use crate::oauth::what_to_check;
use crate::store::standings::{Failure, Standing};

/// A consent that ends sooner is told about; one that lives for a short time only, in the last third of it.
const SOON: Duration = Duration::from_hours(24 * 30);

/// Entra's numbers for a refresh token that was not used for too long.
const UNUSED_AADSTS: [&str; 2] = ["70008", "700082"];

/// Entra's number for the day's end of a token for a page in a browser, which no use makes longer.
const BROWSER_AADSTS: &str = "700084";

/// An account that is judged, with all that next steps name.
pub(super) struct Case<'a> {
    pub(super) account: &'a Account,
    /// The account, as it is typed behind a command.
    pub(super) typed: &'a str,
    /// The account whose consent it uses, with how that is typed, where that is another one.
    pub(super) lender: Option<(&'a Account, &'a str)>,
    pub(super) now: SystemTime,
}

impl Case<'_> {
    pub(super) fn disabled(&self) -> Verdict {
        Verdict::new(State::Disabled, "switched off", format!("gatepost account enable {}", self.typed))
    }

    pub(super) fn unknown_provider(&self) -> Verdict {
        Verdict::new(
            State::NotConnected,
            format!("its provider {} is not in the configuration", self.account.provider),
            format!("write the provider there again, or: gatepost account remove {}", self.typed),
        )
    }

    /// At a provider that takes passwords. `stored` is `None` without one, and inside it is what the provider said against it.
    pub(super) fn of_password(&self, stored: Option<&Option<String>>) -> Verdict {
        match stored {
            None => Verdict::new(State::NotConnected, "no password of the mailbox is stored", self.connect()),
            Some(Some(said)) => {
                let reason = format!("the provider refused a login with the stored password: {said}");
                Verdict::new(State::Refused, reason, self.connect())
            }
            Some(None) => Verdict::connected(),
        }
    }

    /// At a provider with OAuth.
    pub(super) fn of_grant(&self, client: &OAuthClient, grant: Option<&Standing>) -> Verdict {
        let Some(grant) = grant else { return self.of_nothing(client) };
        let ended = consent_until(client, grant).filter(|until| *until <= self.now);
        if let (Some(until), limit) = (ended, client.consent_idle_limit.unwrap_or_default()) {
            let days = limit.as_secs() / 86_400;
            let reason = format!("the consent was not used for {days} days, and ended on {}", day(until));
            return self.again(State::Expired, &reason);
        }
        if let Some(said) = &grant.refused {
            return self.of_refusal(said);
        }
        // Tokens that came later than the day in the configuration say that the day is wrong.
        let ended =
            Proof::of(client).filter(|proof| proof.until <= self.now && grant.issued_at < Some(proof.until));
        if let Some(proof) = ended {
            // Mail goes through until the last token ends.
            let is_live = grant.expires_at.is_some_and(|until| until > self.now);
            let state = if is_live { State::Connected } else { State::Expired };
            return Verdict::new(state, proof_ended(client, proof), proof.next_step());
        }
        match &grant.failure {
            Some(failure) => self.of_failure(client, grant, failure),
            None => self.of_idle(client, grant),
        }
    }

    /// There is no token. An application asks for one when somebody logs in, and what nobody wanted is not missing.
    fn of_nothing(&self, client: &OAuthClient) -> Verdict {
        if client.grant.needs_person() {
            return self.again(State::NotConnected, "no consent is stored");
        }
        match Proof::of(client).filter(|proof| proof.until <= self.now) {
            Some(proof) => Verdict::new(State::Expired, proof_ended(client, proof), proof.next_step()),
            None => Verdict::connected_although("no token is stored; the next login gets one"),
        }
    }

    /// The provider said no to the grant itself.
    fn of_refusal(&self, said: &str) -> Verdict {
        let number = said.find("AADSTS").and_then(|position| aadsts_number(said.get(position..)?));
        match number {
            Some(number) if UNUSED_AADSTS.contains(&number) => {
                self.again(State::Expired, &format!("the consent was not used for too long: {said}"))
            }
            Some(BROWSER_AADSTS) => {
                let reason = format!("the application is registered for a page in a browser: {said}");
                let step = "register the redirect address under `Mobile and desktop applications` at Microsoft; then: ";
                self.said(State::Expired, &reason, format!("{step}{}", self.connect()))
            }
            _ => self.again(State::Refused, &format!("the provider takes the consent no more: {said}")),
        }
    }

    /// The last refresh failed. While the token lives, mail goes through.
    fn of_failure(&self, client: &OAuthClient, grant: &Standing, failure: &Failure) -> Verdict {
        let (provider, text) = (&client.provider, &failure.text);
        let is_live = grant.expires_at.is_some_and(|until| until > self.now);
        if failure.lasts {
            let state = if is_live { State::Connected } else { State::Refused };
            let reason = format!("{provider} does not give Gatepost tokens: {text}");
            let step = format!("{}; then: {}", what_to_check(client.grant), self.test());
            return Verdict::new(state, reason, step);
        }
        let reason = format!("{provider} gave no new token: {text}");
        if is_live {
            let idle = self.of_idle(client, grant);
            if idle.next_step.is_some() {
                return idle;
            }
            return Verdict::connected_although(format!("{reason}; Gatepost tries again by itself"));
        }
        let is_of_another = EndpointError::is_of_another_server(text);
        let state =
            if is_of_another || grant.expires_at.is_some() { State::Expired } else { State::NotConnected };
        let again = if grant.never_had_token() {
            "The next login tries again"
        } else {
            "Gatepost tries again by itself"
        };
        let look_at = if is_of_another {
            "the network (a login page, or a firewall that reads along), and at the provider's address and `ca_file` in the \
             configuration"
        } else {
            "the network"
        };
        let step = format!("{again}. Where this stays, look at {look_at}; then: {}", self.test());
        Verdict::new(state, reason, step)
    }

    /// Nothing is wrong; only time may be.
    fn of_idle(&self, client: &OAuthClient, grant: &Standing) -> Verdict {
        let left = consent_until(client, grant).map(|until| (until, until.duration_since(self.now)));
        match (left, client.consent_idle_limit) {
            (Some((until, Ok(left))), Some(limit)) if left < SOON.min(limit / 3) => {
                let reason = format!("the consent ends on {}, unless it is used before then", day(until));
                self.said(State::Connected, &reason, self.test())
            }
            _ => Verdict::connected(),
        }
    }

    /// Somebody has to consent.
    fn again(&self, state: State, reason: &str) -> Verdict {
        self.said(state, reason, self.connect())
    }

    /// What is said of a consent, which may be that of another account.
    fn said(&self, state: State, reason: &str, next_step: String) -> Verdict {
        match self.lender {
            None => Verdict::new(state, reason, next_step),
            Some((lender, _)) => {
                Verdict::new(state, format!("it uses the consent of {}: {reason}", lender.address), next_step)
            }
        }
    }

    fn connect(&self) -> String {
        format!("gatepost connect {}", self.lender.map_or(self.typed, |(_, typed)| typed))
    }

    pub(super) fn test(&self) -> String {
        match domain(&self.account.address) {
            Some(domain) => format!("gatepost test {} --mailbox scan@{domain}", self.typed),
            None => format!("gatepost test {}", self.typed),
        }
    }
}

/// When the provider forgets the consent, unless it is used before then.
pub(super) fn consent_until(client: &OAuthClient, grant: &Standing) -> Option<SystemTime> {
    grant.issued_at.zip(client.consent_idle_limit).map(|(issued_at, limit)| issued_at + limit)
}

/// An account as it is typed on a command line, in the words of a shell; `provider` where the address alone is not enough.
pub fn typed(account: &Account, with_provider: bool) -> String {
    let address = shell_word(&account.address);
    if with_provider { format!("{address} --provider {}", shell_word(&account.provider)) } else { address }
}

fn shell_word(text: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "@.+-_=,%".contains(character);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn proof_ended(client: &OAuthClient, proof: Proof) -> String {
    let what = if proof.is_certificate { "certificate" } else { "secret" };
    format!("the client {what} of {} ended on {}", client.provider, day(proof.until))
}

fn day(time: SystemTime) -> String {
    utc(time).date().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, UNIX_EPOCH};

    use super::super::state::Attention;
    use super::*;
    use crate::account::AccountId;
    use crate::config::provider::GrantType;
    use crate::oauth::tests::client;

    const DAY: Duration = Duration::from_hours(24);

    fn case(account: &Account, now: SystemTime) -> Case<'_> {
        Case { account, typed: "ann@example.com", lender: None, now }
    }

    fn account() -> Account {
        Account {
            id: AccountId(1),
            address: "ann@example.com".to_owned(),
            provider: "example".to_owned(),
            smtp_user_name: None,
            pop3_user_name: None,
            imap_user_name: None,
            owner: None,
            token_account: None,
            disabled: false,
        }
    }

    /// An hour's token that came at `now - ago`.
    fn grant(now: SystemTime, ago: Duration) -> Standing {
        Standing {
            version: 1,
            renewable: true,
            issued_at: Some(now - ago),
            expires_at: Some(now - ago + Duration::from_hours(1)),
            ..Standing::default()
        }
    }

    #[test]
    fn a_grant_is_judged_by_what_stands_most_in_the_way() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        let failed = |grant: Standing, lasts| Standing {
            failure: Some(Failure { since: now, at: now, text: "HTTP status 503".to_owned(), lasts }),
            ..grant
        };
        let refused = |grant: Standing| Standing { refused: Some("invalid_grant".to_owned()), ..grant };
        let never = Standing { version: 1, ..Standing::default() };
        for (case, grant, state) in [
            ("no grant", None, State::NotConnected),
            ("a live token", Some(grant(now, Duration::ZERO)), State::Connected),
            ("a token that ended, which can be renewed", Some(grant(now, 20 * DAY)), State::Connected),
            (
                "a live token, an endpoint that is down",
                Some(failed(grant(now, Duration::ZERO), false)),
                State::Connected,
            ),
            ("no token, an endpoint that is down", Some(failed(grant(now, DAY), false)), State::Expired),
            ("no token, a client that is refused", Some(failed(grant(now, DAY), true)), State::Refused),
            (
                "never a token, an endpoint that is down",
                Some(failed(never.clone(), false)),
                State::NotConnected,
            ),
            ("never a token, a client that is refused", Some(failed(never, true)), State::Refused),
            ("refused", Some(refused(grant(now, DAY))), State::Refused),
            ("refused after its idle limit", Some(refused(grant(now, 91 * DAY))), State::Expired),
            ("beyond its idle limit", Some(grant(now, 90 * DAY)), State::Expired),
        ] {
            let client = OAuthClient { consent_idle_limit: Some(90 * DAY), ..client() };
            let verdict = self::case(&account(), now).of_grant(&client, grant.as_ref());
            assert_eq!(verdict.state, state, "{case}");
            let all_is_well = grant.is_some_and(|grant| grant.failure.is_none() && state == State::Connected);
            assert_eq!(verdict.reason.is_none(), all_is_well, "{case}: {verdict:?}");
            let attention = if state == State::Connected { Attention::None } else { Attention::Now };
            assert_eq!(verdict.attention(), attention, "{case}: {verdict:?}");
        }
    }

    #[test]
    fn another_server_in_the_place_of_the_endpoint_is_an_outage_and_no_refusal() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        let never = Standing { version: 1, ..Standing::default() };
        for error in [EndpointError::Untrusted("UnknownIssuer".to_owned()), EndpointError::Redirected(302)] {
            let failure = Failure { since: now, at: now, text: error.to_string(), lasts: error.lasts() };
            for (grant, expected) in [
                (grant(now, Duration::ZERO), (State::Connected, None)),
                (grant(now, DAY), (State::Expired, Some("Gatepost tries again by itself. "))),
                (never.clone(), (State::Expired, Some("The next login tries again. "))),
            ] {
                let grant = Standing { failure: Some(failure.clone()), ..grant };
                let verdict = case(&account(), now).of_grant(&client(), Some(&grant));
                let step = verdict.next_step.as_deref();
                assert_eq!(
                    (verdict.state, step.is_some()),
                    (expected.0, expected.1.is_some()),
                    "{verdict:?}"
                );
                assert!(verdict.reason.is_some_and(|reason| reason.contains(&failure.text)));
                let Some((step, begins)) = step.zip(expected.1) else { continue };
                let names = ["network", "address", "`ca_file`", "; then: gatepost test ann@example.com"];
                assert!(step.starts_with(begins) && names.iter().all(|name| step.contains(name)), "{step}");
            }
        }
    }

    #[test]
    fn a_secret_that_ended_stops_everybody_with_the_last_token_unless_tokens_came_since() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        let minute = Duration::from_mins(1);
        for (ends, ago, state, attention) in [
            (now + DAY, DAY, State::Connected, Attention::None),
            (now - DAY, 2 * DAY, State::Expired, Attention::Now),
            (now - minute, 2 * minute, State::Connected, Attention::Soon),
            (now - minute, 60 * minute, State::Expired, Attention::Now),
            (now - 2 * DAY, DAY, State::Connected, Attention::None),
        ] {
            let grant_type = GrantType::ClientCredentials;
            let client = OAuthClient { authentication_ends: Some(ends), grant: grant_type, ..client() };
            let verdict = case(&account(), now).of_grant(&client, Some(&grant(now, ago)));
            assert_eq!((verdict.state, verdict.attention()), (state, attention), "{verdict:?}");
            assert_eq!(verdict.reason.is_some(), attention != Attention::None, "{verdict:?}");
        }
    }

    #[test]
    fn a_password_is_there_refused_or_missing() {
        let said = Some("535 5.7.8 no".to_owned());
        for (stored, state) in
            [(None, State::NotConnected), (Some(&None), State::Connected), (Some(&said), State::Refused)]
        {
            assert_eq!(case(&account(), UNIX_EPOCH).of_password(stored).state, state);
        }
    }

    /// Reason and next step, as a person reads them.
    fn line(verdict: &Verdict) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}: {} -> {}", verdict.state.word(), text(&verdict.reason), text(&verdict.next_step))
    }

    #[test]
    fn a_shared_mailbox_names_the_one_whose_consent_it_uses() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        let office = Account { address: "office@example.com".to_owned(), ..account() };
        let ann = account();
        let case = Case {
            account: &office,
            typed: "office@example.com",
            lender: Some((&ann, "ann@example.com --provider example")),
            now,
        };
        assert_eq!(
            line(&case.of_grant(&client(), None)),
            "not connected: it uses the consent of ann@example.com: no consent is stored -> \
             gatepost connect ann@example.com --provider example"
        );
        let failure =
            Failure { since: now, at: now, text: "invalid_client (HTTP 401)".to_owned(), lasts: true };
        let failed = Standing { failure: Some(failure), ..grant(now, DAY) };
        let said = line(&case.of_grant(&client(), Some(&failed)));
        assert!(said.starts_with("refused: example does not give Gatepost tokens: invalid_client"), "{said}");
        assert!(said.ends_with("; then: gatepost test office@example.com"), "{said}");
    }

    #[test]
    fn what_entra_calls_unused_is_expired_and_not_refused() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        for (text, expected) in [
            (
                "AADSTS700082: The refresh token has expired due to inactivity.",
                "expired: the consent was not used",
            ),
            ("AADSTS70008: The grant has expired.", "expired: the consent was not used"),
            (
                "AADSTS700084: The token was issued to a single page app.",
                "expired: the application is registered",
            ),
            ("AADSTS7000820: no such number", "refused: the provider takes the consent no more"),
            ("AADSTS50173: The grant was revoked.", "refused: the provider takes the consent no more"),
            ("Token has been revoked.", "refused: the provider takes the consent no more"),
        ] {
            let refused = Some(format!("invalid_grant (HTTP 400): {text}"));
            let grant = Standing { refused, ..grant(now, DAY) };
            let said = line(&case(&account(), now).of_grant(&client(), Some(&grant)));
            assert!(said.starts_with(expected) && said.contains(text), "{said}");
            assert!(said.ends_with("gatepost connect ann@example.com"), "{said}");
        }
    }

    #[test]
    fn a_consent_that_nobody_uses_is_told_before_it_ends() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        for (limit, ago, attention) in [
            (90, 59, Attention::None),
            (90, 61, Attention::Soon),
            (90, 89, Attention::Soon),
            (90, 90, Attention::Now),
            // Where a consent lives for a week, the last two days count.
            (7, 4, Attention::None),
            (7, 5, Attention::Soon),
        ] {
            let client = OAuthClient { consent_idle_limit: Some(limit * DAY), ..client() };
            let verdict = case(&account(), now).of_grant(&client, Some(&grant(now, ago * DAY)));
            assert_eq!(verdict.attention(), attention, "{limit} {ago}: {verdict:?}");
        }
    }

    #[test]
    fn an_application_is_told_what_it_lacks() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        let every = Account { address: "*@example.com".to_owned(), ..account() };
        let case = Case { account: &every, typed: "'*@example.com'", lender: None, now };
        let application = |grant, ends| OAuthClient { grant, authentication_ends: ends, ..client() };
        for (client, expected) in [
            (
                application(GrantType::ClientCredentials, None),
                "connected: no token is stored; the next login gets one -> ",
            ),
            (
                application(GrantType::ServiceAccount, None),
                "connected: no token is stored; the next login gets one -> ",
            ),
            (
                application(GrantType::ClientCredentials, Some(now - DAY)),
                "expired: the client secret of example ended on 2024-10-03 -> make a new secret at the provider, put it \
                 where `client_secret` says with its day in `expires`, and restart Gatepost",
            ),
        ] {
            let verdict = case.of_grant(&client, None);
            assert_eq!(line(&verdict), expected);
            let attention = if verdict.next_step.is_some() { Attention::Now } else { Attention::None };
            assert_eq!(verdict.attention(), attention, "{expected}");
        }
    }

    #[test]
    fn a_command_can_be_pasted_whatever_the_address() {
        for (address, with_provider, expected) in [
            ("ann+scan@example.com", false, "ann+scan@example.com"),
            ("ann@example.com", true, "ann@example.com --provider example"),
            ("*@example.com", false, "'*@example.com'"),
            ("o'brien@example.com", false, r"'o'\''brien@example.com'"),
            ("jörg@example.com", false, "jörg@example.com"),
        ] {
            let account = Account { address: address.to_owned(), ..account() };
            assert_eq!(typed(&account, with_provider), expected);
        }
    }
}
