//! [`Case`]: from what is known of an account to its [`Verdict`]. The rule: whoever reads the one line of an account must know
//! what to do, so reasons and steps are sentences for people, and commands can be pasted.

use std::time::{Duration, SystemTime};

use super::state::{State, Verdict};
use crate::account::Account;
use crate::account::catch_all::domain;
use crate::clock::utc;
use crate::config::provider::{OAuthClient, Proof};
use crate::diagnosis::{Diagnosis, trimmed};
use crate::oauth::diagnosis::{EndpointError, known};
use crate::oauth::what_to_check;
use crate::store::standings::{Failure, Standing};

/// A consent that ends sooner is told about; one that lives for a short time only, in the last third of it.
const SOON: Duration = Duration::from_hours(24 * 30);

/// A consent that ended by itself, and that nobody refused: it was not used for too long, or its day was over.
const ENDED: [&str; 2] = ["D68", "D69"];

/// How a fix ends where a person has to consent: the command, which stands on a line of its own here.
const CONNECT: &str = "`gatepost connect MAILBOX`";

/// Where no row fits.
const UNKNOWN: &str = "Gatepost does not know this answer yet; please report it";

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
            None => Verdict::new(
                State::NotConnected,
                "no password of the mailbox is stored (G20)",
                self.connect(),
            ),
            Some(Some(said)) => {
                let reason = format!("the provider refused a login with the stored password (G19): {said}");
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
            return self.of_refusal(client, said);
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
            return self.again(State::NotConnected, "nobody has consented yet (G20)");
        }
        match Proof::of(client).filter(|proof| proof.until <= self.now) {
            Some(proof) => Verdict::new(State::Expired, proof_ended(client, proof), proof.next_step()),
            None => Verdict::connected_although("no token is stored; the next login gets one"),
        }
    }

    /// The provider said no to the grant itself.
    fn of_refusal(&self, client: &OAuthClient, said: &str) -> Verdict {
        let Some(row) = known(said, client.grant) else {
            let reason = format!("the provider takes the consent no more: {}; {UNKNOWN}", trimmed(said));
            return self.again(State::Refused, &reason);
        };
        let state = if ENDED.contains(&row.id.as_str()) { State::Expired } else { State::Refused };
        self.said(state, &explained(row, said), self.step(row, &self.connect()))
    }

    /// The last refresh failed. While the token lives, mail goes through.
    fn of_failure(&self, client: &OAuthClient, grant: &Standing, failure: &Failure) -> Verdict {
        let (provider, text) = (&client.provider, &failure.text);
        let row = known(text, client.grant);
        let reason = |unknown: &str| match row {
            Some(row) => explained(row, text),
            None => format!("{provider} {unknown}: {}; {UNKNOWN}", trimmed(text)),
        };
        let is_live = grant.expires_at.is_some_and(|until| until > self.now);
        if failure.lasts {
            let state = if is_live { State::Connected } else { State::Refused };
            let step = match row {
                Some(row) => self.step(row, &self.test()),
                None => format!("{}; then: {}", what_to_check(client.grant), self.test()),
            };
            return Verdict::new(state, reason("does not give Gatepost tokens"), step);
        }
        let reason = reason("gave no new token");
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
        Verdict::new(state, reason, self.wait(row, grant))
    }

    /// What to do about what may pass by itself.
    fn wait(&self, row: Option<&Diagnosis>, grant: &Standing) -> String {
        let again = if grant.never_had_token() {
            "The next login tries again"
        } else {
            "Gatepost tries again by itself"
        };
        match row.map(|row| self.step(row, &self.test())) {
            Some(step) if step.starts_with("Wait") => step,
            Some(step) => format!("{again}. {step}"),
            None => format!("{again}. Where this stays, look at the network; then: {}", self.test()),
        }
    }

    /// What a row says is to be done, with the command at its end.
    fn step(&self, row: &Diagnosis, otherwise: &str) -> String {
        let mailbox = self.lender.map_or(self.account, |(lender, _)| lender);
        let fix = row.fix_for(&mailbox.address);
        match row.fix.strip_suffix(CONNECT) {
            Some(_) => {
                let command = format!("`gatepost connect {}`", mailbox.address);
                format!("{}{}", fix.trim_end_matches(&command), self.connect())
            }
            None => format!("{}; then: {otherwise}", fix.trim_end_matches('.')),
        }
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

/// What it is, and the provider's own words.
fn explained(row: &Diagnosis, said: &str) -> String {
    format!("{} ({}): {}", row.title, row.id, trimmed(said))
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
        for (error, id, names) in [
            (EndpointError::Untrusted("UnknownIssuer".to_owned()), "(G28)", ["firewall", "`ca_file`"]),
            (EndpointError::Redirected(302), "(G25)", ["network wants a login", "`token_endpoint`"]),
        ] {
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
                let reason = verdict.reason.unwrap_or_default();
                assert!(reason.contains(&failure.text) && reason.contains(id), "{reason}");
                let Some((step, begins)) = step.zip(expected.1) else { continue };
                assert!(step.starts_with(begins) && names.iter().all(|name| step.contains(name)), "{step}");
                assert!(step.contains("address") && step.ends_with("; then: gatepost test ann@example.com"));
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
            "not connected: it uses the consent of ann@example.com: nobody has consented yet (G20) -> \
             gatepost connect ann@example.com --provider example"
        );
        let failure =
            Failure { since: now, at: now, text: "invalid_client (HTTP 401)".to_owned(), lasts: true };
        let failed = Standing { failure: Some(failure), ..grant(now, DAY) };
        let said = line(&case.of_grant(&client(), Some(&failed)));
        let begin = "refused: The provider does not take Gatepost's client id or secret (D141): invalid_client (HTTP 401)";
        assert!(said.starts_with(begin), "{said}");
        assert!(said.ends_with("; then: gatepost test office@example.com"), "{said}");
    }

    #[test]
    fn what_entra_calls_unused_is_expired_and_not_refused() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        for (text, expected) in [
            (
                "AADSTS700082: The refresh token has expired due to inactivity.",
                "expired: The consent was not used for too long (D68): ",
            ),
            ("AADSTS70008: The grant has expired.", "expired: The consent was not used for too long (D68): "),
            (
                "AADSTS700084: The token was issued to a single page app.",
                "expired: The application is registered for a page in a browser (D69): ",
            ),
            ("AADSTS7000820: no such number", "refused: The provider takes the consent no more (D140): "),
            ("AADSTS50173: The grant was revoked.", "refused: The consent was revoked, for example"),
            ("Token has been expired or revoked.", "refused: The consent at Google has expired"),
        ] {
            let refused = Some(format!("invalid_grant (HTTP 400): {text}"));
            let grant = Standing { refused, ..grant(now, DAY) };
            let said = line(&case(&account(), now).of_grant(&client(), Some(&grant)));
            assert!(said.starts_with(expected) && said.contains(text), "{said}");
            assert!(said.ends_with("gatepost connect ann@example.com"), "{said}");
        }
    }

    #[test]
    fn a_step_says_what_the_row_says_and_ends_with_the_command_as_it_is_typed() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        let office = Account { address: "office@example.com".to_owned(), ..account() };
        let ann = account();
        let lent = Case {
            account: &office,
            typed: "office@example.com",
            lender: Some((&ann, "ann@example.com --provider example")),
            now,
        };
        let refused = |text: &str| Standing { refused: Some(text.to_owned()), ..grant(now, DAY) };
        for (text, expected) in [
            (
                "invalid_grant (HTTP 400): AADSTS50173: revoked. Trace ID: 1 Timestamp: 2",
                "refused: it uses the consent of ann@example.com: The consent was revoked, for example by a new password \
                 (D71): invalid_grant (HTTP 400): AADSTS50173: revoked. -> The person signs in again: gatepost connect \
                 ann@example.com --provider example",
            ),
            (
                "a_new_word (HTTP 400)",
                "refused: it uses the consent of ann@example.com: the provider takes the consent no more: a_new_word \
                 (HTTP 400); Gatepost does not know this answer yet; please report it -> gatepost connect \
                 ann@example.com --provider example",
            ),
        ] {
            assert_eq!(line(&lent.of_grant(&client(), Some(&refused(text)))), expected);
        }
        let said = line(&lent.of_grant(&client(), Some(&refused("invalid_grant: AADSTS50057: disabled"))));
        let end = "`gatepost account disable ann@example.com` keeps it quiet here; then: gatepost connect \
                   ann@example.com --provider example";
        assert!(said.ends_with(end), "{said}");
        let failure = |text: &str| Failure { since: now, at: now, text: text.to_owned(), lasts: false };
        let failed = Standing { failure: Some(failure("HTTP status 503")), ..grant(now, DAY) };
        assert_eq!(
            line(&case(&account(), now).of_grant(&client(), Some(&failed))),
            "expired: The provider's token server has a fault (G29): HTTP status 503 -> Wait; Gatepost tries again. \
             Where this lasts, look at the provider's page about outages; then: gatepost test ann@example.com"
        );
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
