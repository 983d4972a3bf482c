//! Gmail as captured in 2024 and 2025: XOAUTH2 and OAUTHBEARER, in one line or two, and a failure challenge that must be
//! answered. A token opens the mailbox of its own user and no other. After login IMAP announces what the sandbox honours: of
//! Gmail's own list there is no capture. What is said before TLS in POP3 and IMAP is made up, since Gmail has no such port.

use super::{Dialect, Imap, Login, OneLine, Pop3, Rejection, Smtp, SwitchedOff, Unpermitted};
use crate::sandbox::sasl::Mechanism;

const MECHANISMS: &[Mechanism] = &[Mechanism::Xoauth2, Mechanism::OauthBearer];

const CHALLENGE: &str = r#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#;

pub(in crate::sandbox) static GMAIL: Dialect = Dialect {
    resources: &[],
    smtp: Smtp {
        greeting: "220 smtp.gmail.com ESMTP a1-20020a5d0001000000b0033e45930f35sm1 - gsmtp",
        hello: "smtp.gmail.com at your service, [127.0.0.1]",
        in_clear: &[
            "SIZE 35882577",
            "8BITMIME",
            "STARTTLS",
            "ENHANCEDSTATUSCODES",
            "PIPELINING",
            "CHUNKING",
            "SMTPUTF8",
        ],
        in_tls: &[
            "SIZE 35882577",
            "8BITMIME",
            "AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH",
            "ENHANCEDSTATUSCODES",
            "PIPELINING",
            "CHUNKING",
            "SMTPUTF8",
        ],
        not_logged_in: "530-5.7.0 Authentication Required. For more information, go to\r\n\
                        530 5.7.0  https://support.google.com/mail/?p=WantAuthError a1-20020a5d0001sm1 - gsmtp",
        // A From that is not the user's own is rewritten.
        send_as_denied: None,
        one_line: OneLine {
            longest: 1000,
            longer: Rejection { words: "555 5.5.2 Syntax error, command line too long", hangs_up: true },
        },
        login: Login {
            mechanisms: MECHANISMS,
            other_mechanism: Rejection {
                words: "534-5.7.9 Application-specific password required. For more information, go to\r\n\
                        534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor a1-20020a5d0001sm1 - gsmtp",
                hangs_up: false,
            },
            go_on: "334 ",
            accepted: "235 2.7.0 Accepted",
            challenge: Some(CHALLENGE),
            refused: "535-5.7.8 Username and Password not accepted. For more information, go to\r\n\
                      535 5.7.8  https://support.google.com/mail/?p=BadCredentials a1-20020a5d0001sm1 - gsmtp",
            malformed: "501 5.5.2 Cannot Decode response a1-20020a5d0001sm1 - gsmtp",
            cancelled: "501 5.7.0 Authentication canceled a1-20020a5d0001sm1 - gsmtp",
            switched_off: SwitchedOff {
                mailbox: "535 5.7.1 Please log in with your web browser a1-20020a5d0001sm1 - gsmtp",
                tenant: "535 5.7.1 Please log in with your web browser a1-20020a5d0001sm1 - gsmtp",
            },
            delegates: false,
            stranger: Unpermitted::Refused,
            application: Unpermitted::Refused,
        },
    },
    pop3: Pop3 {
        greeting: "+OK Gpop ready for requests from 127.0.0.1 a1mb0001",
        in_clear: &["TOP", "UIDL", "STLS"],
        in_tls: &[
            "USER",
            "RESP-CODES",
            "EXPIRE 0",
            "LOGIN-DELAY 300",
            "TOP",
            "UIDL",
            "X-GOOGLE-RICO",
            "SASL PLAIN XOAUTH2 OAUTHBEARER",
        ],
        one_line: OneLine {
            longest: usize::MAX,
            longer: Rejection { words: "-ERR bad command", hangs_up: true },
        },
        login: Login {
            mechanisms: MECHANISMS,
            other_mechanism: Rejection {
                words: "-ERR [AUTH] Application-specific password required",
                hangs_up: false,
            },
            go_on: "+ ",
            accepted: "+OK Welcome.",
            challenge: Some(CHALLENGE),
            refused: "-ERR [AUTH] Username and password not accepted.",
            malformed: "-ERR bad command a1mb0001",
            cancelled: "-ERR Authentication canceled",
            switched_off: SwitchedOff {
                mailbox: "-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings \
                          page and enable your account for POP access.",
                tenant: "-ERR [SYS/PERM] POP access is disabled for your domain.",
            },
            delegates: false,
            stranger: Unpermitted::Refused,
            application: Unpermitted::Refused,
        },
    },
    imap: Imap {
        greeting: "Gimap ready for requests from 127.0.0.1 a1mb0001",
        in_clear: "IMAP4rev1 STARTTLS LOGINDISABLED ID",
        in_tls: "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 XYZZY SASL-IR AUTH=XOAUTH2 \
                 AUTH=PLAIN AUTH=PLAIN-CLIENTTOKEN AUTH=OAUTHBEARER AUTH=XOAUTH",
        logged_in: "IMAP4rev1 UNSELECT IDLE NAMESPACE ID CHILDREN UIDPLUS MOVE",
        id: r#"("name" "GImap" "vendor" "Google, Inc.")"#,
        login: Login {
            mechanisms: MECHANISMS,
            other_mechanism: Rejection {
                words: "NO [ALERT] Application-specific password required (Failure)",
                hangs_up: false,
            },
            go_on: "+ ",
            accepted: "OK Authenticated (Success)",
            challenge: Some(CHALLENGE),
            refused: "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            malformed: "BAD Invalid SASL argument. a1mb0001",
            cancelled: "BAD Authentication canceled",
            switched_off: SwitchedOff {
                mailbox: "NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page \
                          and enable your account for IMAP access. (Failure)",
                tenant: "NO [ALERT] IMAP access is disabled for your domain. Please contact your domain \
                         administrator for questions about this feature. (Failure)",
            },
            delegates: false,
            stranger: Unpermitted::Refused,
            application: Unpermitted::Refused,
        },
    },
};
