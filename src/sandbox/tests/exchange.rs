//! The sandbox as Exchange Online.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};

use super::imap::xoauth2;
use super::*;

const SHARED: &str = "scan@example.com";

/// What stands behind Exchange's replies to a login, for whoever opens a ticket.
const WHERE: &str = "[FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]";

async fn exchange() -> Sandbox {
    Sandbox::start_as(Personality::exchange()).await.unwrap()
}

/// The application's own token.
async fn application(sandbox: &Sandbox) -> String {
    let form = [("grant_type", "client_credentials"), ("client_secret", CLIENT_SECRET)];
    post(sandbox, &form).await.1["access_token"].as_str().unwrap().to_owned()
}

/// Inside TLS and greeted.
async fn greeted(sandbox: &Sandbox, protocol: Protocol) -> Wire<Box<dyn Bytestream>> {
    let ports = sandbox.ports();
    let port = match protocol {
        Smtp => ports.smtps,
        Pop3 => ports.pop3s,
        Imap => ports.imaps,
    };
    let mut wire = Wire::inside_tls(sandbox, port).await;
    wire.line().await;
    wire
}

/// Logs in as Exchange wants it, and gives what it says then.
async fn log_in(sandbox: &Sandbox, protocol: Protocol, user: &str, token: &str) -> String {
    let mut wire = greeted(sandbox, protocol).await;
    let message = xoauth2(user, token);
    if protocol == Imap {
        return wire.ask(&format!("a AUTHENTICATE XOAUTH2 {message}")).await;
    }
    assert_eq!(wire.ask("AUTH XOAUTH2").await, if protocol == Smtp { "334" } else { "+" });
    wire.ask(&message).await
}

#[tokio::test]
async fn it_greets_and_offers_what_was_captured() {
    let sandbox = exchange().await;
    let message = xoauth2(ADA, &access_token(&sandbox).await);
    let ports = sandbox.ports();
    let offered = |line: &str| {
        format!(
            "C: EHLO test
             S: 250-FR0P281CA0001.outlook.office365.com Hello [127.0.0.1]
             S: 250-SIZE 157286400
             S: 250-PIPELINING
             S: 250-DSN
             S: 250-ENHANCEDSTATUSCODES
             S: 250-{line}
             S: 250-8BITMIME
             S: 250-BINARYMIME
             S: 250-CHUNKING
             S: 250 SMTPUTF8"
        )
    };
    let greeting = "S: 220 FR0P281CA0001.outlook.office365.com Microsoft ESMTP MAIL Service ready at Sat, 21 Nov 2026 08:00:00 \
                    +0000 [08DE28A1B2C3D4E5]\n"
        .to_owned();
    Wire::open(ports.smtp).await.play(&(greeting.clone() + &offered("STARTTLS"))).await;
    let mut smtp = Wire::inside_tls(&sandbox, ports.smtps).await;
    smtp.play(&(greeting + &offered("AUTH LOGIN XOAUTH2"))).await;
    smtp.play(&format!(
        "C: MAIL FROM:<{ADA}>
         S: 530 5.7.57 Client not authenticated to send mail. {WHERE}
         C: AUTH XOAUTH2
         S: 334
         C: {message}
         S: 235 2.7.0 Authentication successful"
    ))
    .await;

    let mut pop3 = Wire::inside_tls(&sandbox, ports.pop3s).await;
    pop3.play(&format!(
        "S: +OK The Microsoft Exchange POP3 service is ready. [RgBSADAAUAAyADgAMQBDAEEAMAAwADAAMQAuAEQARQBVAFAAMgA4ADEA]
         C: CAPA
         S: +OK
         S: TOP
         S: UIDL
         S: SASL PLAIN XOAUTH2
         S: USER
         S: .
         C: AUTH XOAUTH2
         S: +
         C: {message}
         S: +OK User successfully authenticated."
    ))
    .await;

    let mut imap = Wire::inside_tls(&sandbox, ports.imaps).await;
    imap.play(&format!(
        "S: * OK The Microsoft Exchange IMAP4 service is ready. [RgBSADAAUAAyADgAMQBDAEEAMAAwADAAMQAuAEQARQBVAFAAMgA4ADEA]
         C: a CAPABILITY
         S: * CAPABILITY IMAP4 IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+
         S: a OK Completed
         C: b AUTHENTICATE XOAUTH2 {message}
         S: b OK AUTHENTICATE completed."
    ))
    .await;
    assert!(!format!("{:?}", sandbox.dialogues()).contains(&message), "a token is in the record");
}

#[tokio::test]
async fn a_bad_token_is_refused_without_a_challenge() {
    let sandbox = exchange().await;
    for (protocol, expected) in [
        (Smtp, format!("535 5.7.3 Authentication unsuccessful {WHERE}")),
        (Pop3, "-ERR Authentication failure: unknown user name or bad password.".to_owned()),
        (Imap, "a NO AUTHENTICATE failed.".to_owned()),
    ] {
        assert_eq!(log_in(&sandbox, protocol, ADA, "wrong").await, expected);
    }
}

#[tokio::test]
async fn pop3_ends_the_connection_when_the_token_is_in_the_command_s_line() {
    let sandbox = exchange().await;
    let message = xoauth2(ADA, &access_token(&sandbox).await);
    let mut pop3 = greeted(&sandbox, Pop3).await;
    assert_eq!(
        pop3.ask(&format!("AUTH XOAUTH2 {message}")).await,
        "-ERR Protocol error. Connection is closed. 10"
    );
    assert_eq!(pop3.line().await, "");
    let mut smtp = greeted(&sandbox, Smtp).await;
    assert_eq!(smtp.ask(&format!("AUTH XOAUTH2 {message}")).await, "235 2.7.0 Authentication successful");
    assert!(!format!("{:?}", sandbox.dialogues()).contains(&message), "a token is in the record");
}

#[tokio::test]
async fn a_shared_mailbox_opens_to_a_delegate_and_smtp_only_under_the_delegate_s_own_name() {
    let sandbox = exchange().await;
    let token = access_token(&sandbox).await;
    let connected = |reply: &str| reply.starts_with("+OK") || reply.starts_with("a OK");
    assert!(!connected(&log_in(&sandbox, Pop3, SHARED, &token).await));
    sandbox.grant_full_access(SHARED, ADA);
    for protocol in [Pop3, Imap] {
        assert!(connected(&log_in(&sandbox, protocol, SHARED, &token).await), "{protocol}");
    }
    assert!(log_in(&sandbox, Smtp, SHARED, &token).await.starts_with("535 5.7.3 "));
    assert!(log_in(&sandbox, Smtp, ADA, &token).await.starts_with("235 "));
}

#[tokio::test]
async fn imap_lets_a_stranger_in_and_gives_no_mailbox() {
    let sandbox = exchange().await;
    let message = xoauth2(SHARED, &access_token(&sandbox).await);
    let mut imap = greeted(&sandbox, Imap).await;
    imap.play(&format!(
        "C: a AUTHENTICATE XOAUTH2 {message}
         S: a OK AUTHENTICATE completed.
         C: b LIST \"\" \"\"
         S: b BAD User is authenticated but not connected.
         C: c SELECT INBOX
         S: c BAD User is authenticated but not connected.
         C: d NOOP
         S: d OK Completed"
    ))
    .await;
}

#[tokio::test]
async fn a_sender_or_author_of_another_mailbox_needs_send_as() {
    let sandbox = exchange().await;
    let message = xoauth2(ADA, &access_token(&sandbox).await);
    let mut smtp = greeted(&sandbox, Smtp).await;
    assert_eq!(smtp.ask("AUTH XOAUTH2").await, "334");
    assert!(smtp.ask(&message).await.starts_with("235 "));
    for (sender, author, granted, expected) in [
        (ADA, ADA, false, "250 2.6.0 Delivered"),
        ("", ADA, false, "250 2.6.0 Delivered"),
        (
            SHARED,
            SHARED,
            false,
            "554 5.2.252 SendAsDenied; ada@example.com not allowed to send as scan@example.com; ",
        ),
        (ADA, SHARED, false, "554 5.2.252 SendAsDenied; "),
        (SHARED, SHARED, true, "250 2.6.0 Delivered"),
    ] {
        if granted {
            sandbox.grant_send_as(SHARED, ADA);
        }
        for command in [format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{ADA}>"), "DATA".to_owned()] {
            smtp.ask(&command).await;
        }
        let reply = smtp.ask(&format!("From: Scanner <{author}>\r\n\r\nText\r\n.")).await;
        assert!(reply.starts_with(expected), "{sender} {author}: {reply}");
    }
    assert_eq!(sandbox.mailbox(ADA).len(), 3);
}

#[tokio::test]
async fn the_application_needs_the_mailbox_granted_and_smtp_says_so_only_at_the_message() {
    let sandbox = exchange().await;
    let token = application(&sandbox).await;
    let message = |expected: &str| {
        format!(
            "C: AUTH XOAUTH2
             S: 334
             C: {}
             S: 235 2.7.0 Authentication successful
             C: MAIL FROM:<{SHARED}>
             S: 250 2.1.0 OK
             C: RCPT TO:<{ADA}>
             S: 250 2.1.5 OK
             C: DATA
             S: 354 Go ahead
             C: .
             S: {expected}",
            xoauth2(SHARED, &token)
        )
    };
    assert_eq!(log_in(&sandbox, Imap, SHARED, &token).await, "a NO AUTHENTICATE failed.");
    assert!(log_in(&sandbox, Pop3, SHARED, &token).await.starts_with("-ERR Authentication failure"));
    let no_mailbox = "430 4.2.0 STOREDRV; mailbox logon failure; \
                      STOREDRV.Submission.Exception:ConnectionFailedTransientException.MapiExceptionLogonFailed; Failed to \
                      process message due to a transient exception with message Cannot open mailbox. \
                      [Hostname=FR0P281MB0001.DEUP281.PROD.OUTLOOK.COM]";
    greeted(&sandbox, Smtp).await.play(&message(no_mailbox)).await;

    // The servers hear of a permission one after the other.
    sandbox.change(|personality| personality.propagation = 2);
    sandbox.grant_full_access(SHARED, CLIENT_ID);
    for expected in ["a NO", "a NO", "a OK"] {
        assert!(log_in(&sandbox, Imap, SHARED, &token).await.starts_with(expected));
    }
    greeted(&sandbox, Smtp).await.play(&message("250 2.6.0 Delivered")).await;
    assert!(
        log_in(&sandbox, Imap, ADA, &token).await.starts_with("a NO"),
        "only the mailbox that was granted"
    );
}

#[tokio::test]
async fn smtp_auth_is_switched_off_for_the_tenant_and_on_for_a_mailbox() {
    let sandbox = exchange().await;
    let token = access_token(&sandbox).await;
    let off = |whose: &str| {
        format!(
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the {whose}. Visit "
        )
    };
    sandbox.switch_off_for_tenant(Smtp);
    assert!(log_in(&sandbox, Smtp, ADA, &token).await.starts_with(&off("Tenant")));
    sandbox.switch_on(Smtp, ADA);
    assert!(log_in(&sandbox, Smtp, ADA, &token).await.starts_with("235 "));
    sandbox.switch_off(Smtp, ADA);
    assert!(log_in(&sandbox, Smtp, ADA, &token).await.starts_with(&off("Mailbox")));
    assert!(log_in(&sandbox, Imap, ADA, &token).await.starts_with("a OK"));
}

#[tokio::test]
async fn a_message_comes_in_chunks_too() {
    let sandbox = exchange().await;
    let message = xoauth2(ADA, &access_token(&sandbox).await);
    let mut smtp = greeted(&sandbox, Smtp).await;
    smtp.ask("AUTH XOAUTH2").await;
    smtp.ask(&message).await;
    smtp.write(
        b"MAIL FROM:<>\r\nRCPT TO:<ada@example.com>\r\nBDAT 3\r\n.\r\nBDAT 4 LAST\r\n\xffb\r\nRSET\r\n",
    )
    .await;
    for reply in ["250 2.1.0 OK", "250 2.1.5 OK", "250 2.0.0 OK", "250 2.6.0 Delivered", "250 2.0.0 OK"] {
        assert_eq!(smtp.line().await, reply);
    }
    assert_eq!(sandbox.mailbox(ADA), [Bytes::from_static(b".\r\n\xffb\r\n")]);
}

#[tokio::test]
async fn a_refresh_token_comes_of_offline_access_alone() {
    let sandbox = exchange().await;
    for (scope, refreshable) in
        [("https://outlook.office.com/SMTP.Send", false), ("openid offline_access", true)]
    {
        let (_, location) = authorize(&sandbox, &[("scope", scope)]).await;
        let tokens = redeem(&sandbox, &location["code"]).await;
        assert_eq!(tokens["refresh_token"].is_string(), refreshable, "{scope}");
        assert_eq!(tokens["access_token"].as_str().unwrap().len(), 2000);
    }
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused_by_every_server() {
    let sandbox = exchange().await;
    for (scope, is_taken) in [
        ("https://graph.microsoft.com/SMTP.Send offline_access", false),
        ("offline_access https://outlook.office365.com/.default", true),
    ] {
        let (_, location) = authorize(&sandbox, &[("scope", scope)]).await;
        let token = redeem(&sandbox, &location["code"]).await["access_token"].as_str().unwrap().to_owned();
        for (protocol, refused) in [
            (Smtp, "535 5.7.3 Authentication unsuccessful ["),
            (Pop3, "-ERR Authentication failure: unknown user name or bad password."),
            (Imap, "a NO AUTHENTICATE failed."),
        ] {
            let told = log_in(&sandbox, protocol, ADA, &token).await;
            assert_eq!(!told.starts_with(refused), is_taken, "{scope}: {told}");
        }
    }
}

#[tokio::test]
async fn tokens_say_whose_they_are_and_for_what() {
    let sandbox = exchange().await;
    let claims = |token: &str| {
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "{token}");
        serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap()
    };
    let scope = "https://outlook.office.com/SMTP.Send https://outlook.office.com/IMAP.AccessAsUser.All offline_access";
    let (_, location) = authorize(&sandbox, &[("scope", scope)]).await;
    let person = claims(redeem(&sandbox, &location["code"]).await["access_token"].as_str().unwrap());
    assert_eq!(person["aud"], "https://outlook.office.com");
    assert_eq!((&person["upn"], &person["scp"]), (&ADA.into(), &"SMTP.Send IMAP.AccessAsUser.All".into()));
    assert_eq!(person["exp"].as_u64().unwrap() - person["iat"].as_u64().unwrap(), 3600);
    let application = claims(&application(&sandbox).await);
    assert!(application["upn"].is_null() && application["scp"].is_null());
    assert_eq!(application["roles"].as_array().unwrap().len(), 3);
}
