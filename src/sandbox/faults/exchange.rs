//! What Exchange Online's mail servers say to a login that they do not take, or not now. A switched-off protocol, a mailbox that
//! was not granted and a sender that is not allowed are no faults: the sandbox's own admin decides those.

use gatepost_protocol::Protocol;

use super::{Action, MailFault, Moment};

/// What stands behind Exchange's replies to a login, for whoever opens a ticket.
const WHERE: &str = "[FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]";

impl MailFault {
    /// `535 5.7.3`, without a challenge: Exchange's word for most things that are wrong with a token.
    pub fn exchange_refusal() -> Self {
        Self::refusal(Protocol::Smtp, false, "535 5.7.3 Authentication unsuccessful [SANDBOX 0]\r\n")
    }

    /// `535 5.7.139`: Exchange's admin has switched SMTP AUTH off.
    pub fn exchange_smtp_auth_disabled() -> Self {
        Self::refusal(
            Protocol::Smtp,
            false,
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.\r\n",
        )
    }

    /// The same code where the organisation has security defaults.
    pub fn exchange_security_defaults() -> Self {
        Self::policy(
            "user is locked by your organization's security defaults policy. Contact your administrator.",
        )
    }

    /// The same code where a rule of Conditional Access says no.
    pub fn exchange_conditional_access() -> Self {
        Self::policy(
            "the request did not meet the criteria to be authenticated successfully. Contact your administrator.",
        )
    }

    /// The same code where an authentication policy says no.
    pub fn exchange_authentication_policy() -> Self {
        Self::policy("organization configuration doesn't allow this authentication request.")
    }

    /// `535 5.7.139`, and why.
    fn policy(why: &str) -> Self {
        let reply = format!("535 5.7.139 Authentication unsuccessful, {why} {WHERE}");
        Self::refusal(Protocol::Smtp, false, &reply)
    }

    /// The login succeeds, and Exchange still tells what it can do; every command about a mailbox gets the same BAD: the token's
    /// user may not open it, or has opened it too often of late.
    pub fn exchange_not_connected() -> Self {
        Self::without_mailbox("BAD User is authenticated but not connected.")
    }

    /// The same, while the mailbox's store wants a pause.
    pub fn exchange_throttled(milliseconds: u32) -> Self {
        Self::without_mailbox(&format!(
            "BAD Request is throttled. Suggested Backoff Time: {milliseconds} milliseconds"
        ))
    }

    fn without_mailbox(words: &str) -> Self {
        Self { protocol: Protocol::Imap, at: Moment::Mailbox, action: Action::Answer(words.to_owned()) }
    }

    /// `432 4.3.2`: more than three submissions of the mailbox at a time.
    pub fn exchange_too_many_submissions() -> Self {
        let reply = "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more \
                     information. [Hostname=FR0P281MB0001.DEUP281.PROD.OUTLOOK.COM]";
        Self::refusal(Protocol::Smtp, false, reply)
    }

    /// The mailbox's server is away, or throttles.
    pub fn exchange_unavailable() -> Self {
        Self::refusal(Protocol::Imap, false, "NO Server Unavailable. 15")
    }
}
