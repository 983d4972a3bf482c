//! A provider of passwords: the mailbox's own, or one that it made for a program. It takes them by PLAIN alone.

use super::{Dialect, Imap, Login, OneLine, Pop3, Rejection, Smtp, SwitchedOff, Unpermitted};
use crate::sandbox::sasl::Mechanism;

const SMTP_MECHANISM: Rejection = Rejection { words: "504 5.5.4 Only PLAIN", hangs_up: false };
const SMTP_TOO_LONG: Rejection = Rejection { words: "500 5.5.6 Line too long", hangs_up: false };
const POP3_MECHANISM: Rejection = Rejection { words: "-ERR Only AUTH PLAIN", hangs_up: false };
const POP3_TOO_LONG: Rejection = Rejection { words: "-ERR Line too long", hangs_up: false };

pub(in crate::sandbox) static POST: Dialect = Dialect {
    resources: &[],
    smtp: Smtp {
        greeting: "220 localhost ESMTP Gatepost sandbox",
        hello: "localhost",
        in_clear: &["SIZE 157286400", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "STARTTLS"],
        in_tls: &["SIZE 157286400", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN"],
        not_logged_in: "530 5.7.0 Authentication required",
        send_as_denied: None,
        one_line: OneLine { longest: 512, longer: SMTP_TOO_LONG },
        login: Login {
            mechanisms: &[Mechanism::Plain],
            other_mechanism: SMTP_MECHANISM,
            go_on: "334 ",
            accepted: "235 2.7.0 Authentication successful",
            challenge: None,
            refused: "535 5.7.8 Wrong user name or password",
            malformed: "501 5.5.2 Not a PLAIN message",
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
        in_tls: &["TOP", "UIDL", "USER", "SASL PLAIN"],
        one_line: OneLine { longest: 255, longer: POP3_TOO_LONG },
        login: Login {
            mechanisms: &[Mechanism::Plain],
            other_mechanism: POP3_MECHANISM,
            go_on: "+ ",
            accepted: "+OK User successfully authenticated",
            challenge: None,
            refused: "-ERR [AUTH] Wrong user name or password",
            malformed: "-ERR Not a PLAIN message",
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
        in_tls: "IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ ID",
        logged_in: "IMAP4rev1 IDLE LITERAL+ UIDPLUS",
        id: r#"("name" "Gatepost sandbox")"#,
        login: Login {
            mechanisms: &[Mechanism::Plain],
            other_mechanism: Rejection { words: "NO Only PLAIN", hangs_up: false },
            go_on: "+ ",
            accepted: "OK AUTHENTICATE completed",
            challenge: None,
            refused: "NO [AUTHENTICATIONFAILED] Wrong user name or password",
            malformed: "BAD Not a PLAIN message",
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
