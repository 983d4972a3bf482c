//! The provider of no particular make: as strict as the strictest one, and short of words.

use super::{Dialect, Imap, Login, OneLine, Pop3, Rejection, Smtp, SwitchedOff, Unpermitted};
use crate::sandbox::sasl::Mechanism;

/// Gmail's failure challenge, RFC 7628 section 3.2.2 in its first form.
const CHALLENGE: &str = r#"{"status":"400","schemes":"Bearer","scope":"https://mail.example.com/"}"#;

/// A token behind the mechanism's name would make the command line too long for some providers.
const TWO_STEPS: Rejection =
    Rejection { words: "504 5.5.4 Only XOAUTH2 without an initial response", hangs_up: false };

/// Exchange's words and manners.
const PROTOCOL_ERROR: Rejection =
    Rejection { words: "-ERR Protocol error. Connection is closed. 10", hangs_up: true };

pub(in crate::sandbox) static PLAIN: Dialect = Dialect {
    resources: &[],
    smtp: Smtp {
        greeting: "220 localhost ESMTP Gatepost sandbox",
        hello: "localhost",
        in_clear: &["SIZE 157286400", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "STARTTLS"],
        in_tls: &["SIZE 157286400", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH XOAUTH2"],
        not_logged_in: "530 5.7.0 Authentication required",
        send_as_denied: None,
        one_line: OneLine { longest: 0, longer: TWO_STEPS },
        login: Login {
            mechanisms: &[Mechanism::Xoauth2],
            other_mechanism: TWO_STEPS,
            go_on: "334 ",
            accepted: "235 2.7.0 Authentication successful",
            challenge: Some(CHALLENGE),
            refused: "535 5.7.8 Token not accepted",
            malformed: "501 5.5.2 Not an XOAUTH2 message",
            cancelled: "501 5.7.0 Authentication cancelled",
            switched_off: SwitchedOff {
                mailbox: "535 5.7.13 SMTP is switched off for this mailbox",
                tenant: "535 5.7.13 SMTP is switched off for everybody",
            },
            delegates: true,
            stranger: Unpermitted::Refused,
            application: Unpermitted::LetIn,
        },
    },
    pop3: Pop3 {
        greeting: "+OK Gatepost sandbox ready",
        in_clear: &["TOP", "UIDL", "STLS"],
        in_tls: &["TOP", "UIDL", "SASL XOAUTH2"],
        one_line: OneLine { longest: 0, longer: PROTOCOL_ERROR },
        login: Login {
            mechanisms: &[Mechanism::Xoauth2],
            other_mechanism: PROTOCOL_ERROR,
            go_on: "+ ",
            accepted: "+OK User successfully authenticated",
            challenge: Some(CHALLENGE),
            refused: "-ERR [AUTH] Token not accepted",
            malformed: "-ERR Not an XOAUTH2 message",
            cancelled: "-ERR Authentication cancelled",
            switched_off: SwitchedOff {
                mailbox: "-ERR [AUTH] POP3 is switched off for this mailbox",
                tenant: "-ERR [AUTH] POP3 is switched off for everybody",
            },
            delegates: true,
            stranger: Unpermitted::Refused,
            application: Unpermitted::LetIn,
        },
    },
    imap: Imap {
        greeting: "Gatepost sandbox ready",
        in_clear: "IMAP4rev1 STARTTLS LOGINDISABLED LITERAL+ ID",
        // Exchange has LOGINDISABLED inside TLS too.
        in_tls: "IMAP4rev1 SASL-IR AUTH=XOAUTH2 LOGINDISABLED LITERAL+ ID",
        logged_in: "IMAP4rev1 IDLE LITERAL+ UIDPLUS",
        id: r#"("name" "Gatepost sandbox")"#,
        login: Login {
            mechanisms: &[Mechanism::Xoauth2],
            other_mechanism: Rejection { words: "NO Only XOAUTH2", hangs_up: false },
            go_on: "+ ",
            accepted: "OK AUTHENTICATE completed",
            challenge: Some(CHALLENGE),
            refused: "NO [AUTHENTICATIONFAILED] Token not accepted",
            malformed: "BAD Not an XOAUTH2 message",
            cancelled: "BAD AUTHENTICATE cancelled",
            switched_off: SwitchedOff {
                mailbox: "NO [AUTHORIZATIONFAILED] IMAP is switched off for this mailbox",
                tenant: "NO [AUTHORIZATIONFAILED] IMAP is switched off for everybody",
            },
            delegates: true,
            stranger: Unpermitted::Refused,
            application: Unpermitted::LetIn,
        },
    },
};
