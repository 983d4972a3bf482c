//! What Gmail says to a login that it does not take, or not now.

use gatepost_protocol::Protocol;

use super::{Action, MailFault, Moment};

impl MailFault {
    /// The failure challenge, then a reply of two lines: Gmail.
    pub fn gmail_refusal() -> Self {
        Self::refusal(
            Protocol::Smtp,
            true,
            "535-5.7.8 Username and Password not accepted.\r\n535 5.7.8  https://localhost/ sandbox\r\n",
        )
    }

    /// Gmail suspects somebody else, and wants to see the person in a browser first.
    pub fn gmail_web_login_required(protocol: Protocol) -> Self {
        let reply = match protocol {
            Protocol::Smtp => {
                "534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKgnsbu_sandbox> Please log in\r\n\
                 534-5.7.14 via your web browser and then try again. For more information, go to\r\n\
                 534 5.7.14  https://support.google.com/mail/answer/78754 a1-20020a5d0001sm1 - gsmtp"
            }
            Protocol::Pop3 => "-ERR [AUTH] Web login required: https://support.google.com/mail/answer/78754",
            Protocol::Imap => {
                "* NO [WEBALERT https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKgnsbu_sandbox] Web login \
                 required.\r\n\
                 NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)"
            }
        };
        Self::refusal(protocol, false, reply)
    }

    /// What a password meets where the person has a second factor.
    pub fn gmail_application_password_required(protocol: Protocol) -> Self {
        let reply = match protocol {
            Protocol::Smtp => {
                "534-5.7.9 Application-specific password required. For more information, go to\r\n\
                 534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor a1-20020a5d0001sm1 - gsmtp"
            }
            Protocol::Pop3 => {
                "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833"
            }
            Protocol::Imap => {
                "NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 \
                 (Failure)"
            }
        };
        Self::refusal(protocol, false, reply)
    }

    /// More than fifteen sessions of the mailbox.
    pub fn gmail_too_many_connections() -> Self {
        Self::refusal(Protocol::Imap, false, "NO [ALERT] Too many simultaneous connections. (Failure)")
    }

    /// More was read in a day than Gmail allows.
    pub fn gmail_over_limits() -> Self {
        let reply = "NO [ALERT] Account exceeded command or bandwidth limits. (Failure)";
        Self::refusal(Protocol::Imap, false, reply)
    }

    /// `454 4.7.0`: logins come too fast.
    pub fn gmail_too_many_logins() -> Self {
        let reply = "454 4.7.0 Too many login attempts, please try again later. a1-20020a5d0001sm1 - gsmtp";
        Self::refusal(Protocol::Smtp, false, reply)
    }

    /// `454 4.7.0`: Google's own trouble.
    pub fn gmail_temporary_problem() -> Self {
        let reply = "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later. a1-20020a5d0001sm1 - gsmtp";
        Self::refusal(Protocol::Smtp, false, reply)
    }

    /// `421 4.7.0` to EHLO, and the connection ends.
    pub fn gmail_try_again_later() -> Self {
        let reply = "421 4.7.0 Try again later, closing connection. (EHLO) a1-20020a5d0001sm1 - gsmtp\r\n";
        let action = Action::SayAndClose(reply.as_bytes().to_vec());
        Self { protocol: Protocol::Smtp, at: Moment::HelloInTls, action }
    }
}
