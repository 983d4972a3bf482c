//! Exchange Online as captured in 2025 and 2026: two steps in POP3, never a failure challenge, and a mailbox that may be
//! missing behind a login that succeeded. IMAP before TLS, which was not captured, is guessed.

use super::{Dialect, Imap, Login, OneLine, Pop3, Rejection, Smtp, SwitchedOff, Unpermitted};
use crate::sandbox::sasl::Mechanism;

const POP3_REFUSED: &str = "-ERR Authentication failure: unknown user name or bad password.";

/// To a token in the line of AUTH.
const PROTOCOL_ERROR: Rejection =
    Rejection { words: "-ERR Protocol error. Connection is closed. 10", hangs_up: true };

pub(in crate::sandbox) static EXCHANGE: Dialect = Dialect {
    resources: &["https://outlook.office.com", "https://outlook.office365.com", "https://ps.outlook.com"],
    smtp: Smtp {
        greeting: "220 FR0P281CA0001.outlook.office365.com Microsoft ESMTP MAIL Service ready at \
                   Sat, 21 Nov 2026 08:00:00 +0000 [08DE28A1B2C3D4E5]",
        hello: "FR0P281CA0001.outlook.office365.com Hello [127.0.0.1]",
        in_clear: &[
            "SIZE 157286400",
            "PIPELINING",
            "DSN",
            "ENHANCEDSTATUSCODES",
            "STARTTLS",
            "8BITMIME",
            "BINARYMIME",
            "CHUNKING",
            "SMTPUTF8",
        ],
        in_tls: &[
            "SIZE 157286400",
            "PIPELINING",
            "DSN",
            "ENHANCEDSTATUSCODES",
            "AUTH LOGIN XOAUTH2",
            "8BITMIME",
            "BINARYMIME",
            "CHUNKING",
            "SMTPUTF8",
        ],
        not_logged_in: "530 5.7.57 Client not authenticated to send mail. \
                        [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]",
        send_as_denied: Some(
            "554 5.2.252 SendAsDenied; {user} not allowed to send as {sender}; \
             STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message \
             due to a permanent exception with message Cannot submit message. \
             [Hostname=FR0P281MB0001.DEUP281.PROD.OUTLOOK.COM]",
        ),
        // Long tokens are taken in one line here, other than in POP3.
        one_line: OneLine {
            longest: usize::MAX,
            longer: Rejection { words: "500 5.3.3 Unrecognized command", hangs_up: false },
        },
        login: Login {
            mechanisms: &[Mechanism::Xoauth2],
            other_mechanism: Rejection {
                words: "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. \
                        [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]",
                hangs_up: false,
            },
            go_on: "334",
            accepted: "235 2.7.0 Authentication successful",
            challenge: None,
            refused: "535 5.7.3 Authentication unsuccessful \
                      [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]",
            malformed: "501 5.5.124 Invalid XOAUTH2 auth data",
            // Others say 501 (RFC 4954 section 4).
            cancelled: "535 5.7.3 Authentication unsuccessful \
                        [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]",
            switched_off: SwitchedOff {
                mailbox: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the \
                          Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. \
                          [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]",
                tenant: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the \
                         Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. \
                         [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]",
            },
            // Not even with full access: a delegate logs in as itself, and needs Send As.
            delegates: false,
            stranger: Unpermitted::Refused,
            application: Unpermitted::WithoutMailbox(
                "430 4.2.0 STOREDRV; mailbox logon failure; \
                 STOREDRV.Submission.Exception:ConnectionFailedTransientException.MapiExceptionLogonFailed; Failed to \
                 process message due to a transient exception with message Cannot open mailbox. \
                 [Hostname=FR0P281MB0001.DEUP281.PROD.OUTLOOK.COM]",
            ),
        },
    },
    pop3: Pop3 {
        greeting: "+OK The Microsoft Exchange POP3 service is ready. \
                   [RgBSADAAUAAyADgAMQBDAEEAMAAwADAAMQAuAEQARQBVAFAAMgA4ADEA]",
        in_clear: &["TOP", "UIDL", "STLS"],
        in_tls: &["TOP", "UIDL", "SASL PLAIN XOAUTH2", "USER"],
        one_line: OneLine { longest: 0, longer: PROTOCOL_ERROR },
        login: Login {
            mechanisms: &[Mechanism::Xoauth2],
            other_mechanism: PROTOCOL_ERROR,
            go_on: "+",
            accepted: "+OK User successfully authenticated.",
            challenge: None,
            refused: POP3_REFUSED,
            malformed: POP3_REFUSED,
            cancelled: POP3_REFUSED,
            switched_off: SwitchedOff {
                mailbox: "-ERR POP access is disabled for this mailbox.",
                tenant: "-ERR POP access is disabled for this mailbox.",
            },
            delegates: true,
            stranger: Unpermitted::Refused,
            application: Unpermitted::Refused,
        },
    },
    imap: Imap {
        greeting: "The Microsoft Exchange IMAP4 service is ready. \
                   [RgBSADAAUAAyADgAMQBDAEEAMAAwADAAMQAuAEQARQBVAFAAMgA4ADEA]",
        in_clear: "IMAP4 IMAP4rev1 LOGINDISABLED STARTTLS UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+",
        in_tls: "IMAP4 IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE \
                 LITERAL+",
        logged_in: "IMAP4 IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED SASL-IR UIDPLUS MOVE ID UNSELECT CLIENTACCESSRULES \
                    CLIENTNETWORKPRESENCELOCATION BACKENDAUTHENTICATE CHILDREN IDLE NAMESPACE LITERAL+",
        id: r#"("name" "Microsoft.Exchange.Imap4.Imap4Server" "version" "15.20")"#,
        login: Login {
            mechanisms: &[Mechanism::Xoauth2],
            other_mechanism: Rejection { words: "NO AUTHENTICATE failed.", hangs_up: false },
            go_on: "+",
            accepted: "OK AUTHENTICATE completed.",
            challenge: None,
            refused: "NO AUTHENTICATE failed.",
            malformed: "NO AUTHENTICATE failed.",
            cancelled: "BAD AUTHENTICATE cancelled.",
            switched_off: SwitchedOff {
                mailbox: "NO IMAP4 access is disabled for this mailbox.",
                tenant: "NO IMAP4 access is disabled for this mailbox.",
            },
            delegates: true,
            stranger: Unpermitted::WithoutMailbox("BAD User is authenticated but not connected."),
            application: Unpermitted::Refused,
        },
    },
};
