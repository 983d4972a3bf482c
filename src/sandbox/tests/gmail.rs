//! The sandbox as Gmail and Google Workspace.

use std::time::SystemTime;

use gatepost_protocol::secret::Secret;
use serde_json::json;

use super::imap::xoauth2;
use super::*;
use crate::jwt::{self, Algorithm, SigningKey};

const SCOPE: &str = "https://mail.google.com/";

/// As the documentation of XOAUTH2 has it.
const CHALLENGE: &str =
    "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";

async fn gmail() -> Sandbox {
    Sandbox::start_as(Personality::gmail()).await.unwrap()
}

fn oauthbearer(user: &str, token: &str) -> String {
    STANDARD.encode(format!("n,a={user},\x01host=localhost\x01port=993\x01auth=Bearer {token}\x01\x01"))
}

#[tokio::test]
async fn it_greets_and_offers_what_was_captured() {
    let sandbox = gmail().await;
    let ports = sandbox.ports();
    Wire::inside_tls(&sandbox, ports.smtps)
        .await
        .play(
            "S: 220 smtp.gmail.com ESMTP a1-20020a5d0001000000b0033e45930f35sm1 - gsmtp
             C: EHLO test
             S: 250-smtp.gmail.com at your service, [127.0.0.1]
             S: 250-SIZE 35882577
             S: 250-8BITMIME
             S: 250-AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH
             S: 250-ENHANCEDSTATUSCODES
             S: 250-PIPELINING
             S: 250-CHUNKING
             S: 250 SMTPUTF8",
        )
        .await;
    Wire::inside_tls(&sandbox, ports.pop3s)
        .await
        .play(
            "S: +OK Gpop ready for requests from 127.0.0.1 a1mb0001
             C: CAPA
             S: +OK
             S: USER
             S: RESP-CODES
             S: EXPIRE 0
             S: LOGIN-DELAY 300
             S: TOP
             S: UIDL
             S: X-GOOGLE-RICO
             S: SASL PLAIN XOAUTH2 OAUTHBEARER
             S: .",
        )
        .await;
    Wire::inside_tls(&sandbox, ports.imaps)
        .await
        .play(
            "S: * OK Gimap ready for requests from 127.0.0.1 a1mb0001
             C: a CAPABILITY
             S: * CAPABILITY IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 XYZZY SASL-IR AUTH=XOAUTH2 AUTH=PLAIN AUTH=PLAIN-CLIENTTOKEN AUTH=OAUTHBEARER AUTH=XOAUTH
             S: a OK Completed",
        )
        .await;
}

#[tokio::test]
async fn a_token_is_taken_by_both_mechanisms_in_one_line_and_in_two() {
    let sandbox = gmail().await;
    let token = access_token(&sandbox).await;
    let ports = sandbox.ports();
    for (mechanism, message) in [("XOAUTH2", xoauth2(ADA, &token)), ("OAUTHBEARER", oauthbearer(ADA, &token))]
    {
        for (port, command, go_on, accepted) in [
            (ports.smtps, "AUTH", "334 ", "235 2.7.0 Accepted"),
            (ports.pop3s, "AUTH", "+ ", "+OK Welcome."),
            (ports.imaps, "a AUTHENTICATE", "+ ", "a OK Authenticated (Success)"),
        ] {
            let mut wire = Wire::inside_tls(&sandbox, port).await;
            wire.line().await;
            assert_eq!(wire.ask(&format!("{command} {mechanism}")).await, go_on);
            assert_eq!(wire.ask(&message).await, accepted);
            let mut wire = Wire::inside_tls(&sandbox, port).await;
            wire.line().await;
            assert_eq!(wire.ask(&format!("{command} {mechanism} {message}")).await, accepted);
        }
        assert!(!format!("{:?}", sandbox.dialogues()).contains(&message), "a token is in the record");
    }
    sandbox.change(|personality| personality.token_length = 1000);
    let long = xoauth2(ADA, &access_token(&sandbox).await);
    let mut smtp = Wire::inside_tls(&sandbox, ports.smtps).await;
    smtp.line().await;
    assert_eq!(
        smtp.ask(&format!("AUTH XOAUTH2 {long}")).await,
        "555 5.5.2 Syntax error, command line too long"
    );
    assert_eq!(smtp.line().await, "");
}

#[tokio::test]
async fn the_final_word_comes_when_the_challenge_has_been_answered() {
    let sandbox = gmail().await;
    sandbox.grant_full_access("eve@example.com", ADA);
    let token = access_token(&sandbox).await;
    let refused = [
        "535-5.7.8 Username and Password not accepted. For more information, go to",
        "535 5.7.8  https://support.google.com/mail/?p=BadCredentials a1-20020a5d0001sm1 - gsmtp",
    ];
    for (mechanism, message, answer, wrong) in [
        ("XOAUTH2", xoauth2("eve@example.com", &token), "", "AQ=="),
        ("OAUTHBEARER", oauthbearer(ADA, "wrong"), "AQ==", ""),
    ] {
        let mut smtp = Wire::inside_tls(&sandbox, sandbox.ports().smtps).await;
        smtp.line().await;
        assert_eq!(smtp.ask(&format!("AUTH {mechanism} {message}")).await, format!("334 {CHALLENGE}"));
        assert_eq!([smtp.ask(answer).await, smtp.line().await], refused);
        smtp.ask(&format!("AUTH {mechanism} {message}")).await;
        assert!(smtp.ask(wrong).await.starts_with("501 5.5.2 "), "{mechanism}");
        let mut imap = Wire::inside_tls(&sandbox, sandbox.ports().imaps).await;
        imap.line().await;
        let challenge = imap.ask(&format!("a AUTHENTICATE {mechanism} {message}")).await;
        assert_eq!(challenge, format!("+ {CHALLENGE}"));
        assert_eq!(imap.ask(answer).await, "a NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)");
        let mut pop3 = Wire::inside_tls(&sandbox, sandbox.ports().pop3s).await;
        pop3.line().await;
        assert_eq!(pop3.ask(&format!("AUTH {mechanism} {message}")).await, format!("+ {CHALLENGE}"));
        assert_eq!(pop3.ask(answer).await, "-ERR [AUTH] Username and password not accepted.");
    }
}

#[tokio::test]
async fn a_refresh_token_comes_of_offline_access_and_a_new_consent_and_does_not_rotate() {
    let sandbox = gmail().await;
    for (parameters, refreshable) in [
        (vec![], false),
        (vec![("access_type", "offline")], false),
        (vec![("prompt", "consent")], false),
        (vec![("access_type", "offline"), ("prompt", "select_account consent")], true),
    ] {
        let (_, location) = authorize(&sandbox, &parameters).await;
        let tokens = redeem(&sandbox, &location["code"]).await;
        assert_eq!(tokens["refresh_token"].is_string(), refreshable, "{parameters:?}");
        if let Some(token) = tokens["refresh_token"].as_str() {
            assert_eq!(refresh(&sandbox, token).await.1["refresh_token"], Value::Null);
            assert_eq!(refresh(&sandbox, token).await.0, 200);
        }
    }
}

#[tokio::test]
async fn no_device_code_is_given_for_mail() {
    let sandbox = gmail().await;
    let form = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("scope", SCOPE)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let url = format!("https://localhost:{}/device_authorization", sandbox.ports().https);
    let response = http(&sandbox).post(url).body(body).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["error"], "invalid_scope");
}

#[tokio::test]
async fn a_service_account_acts_for_the_domain_that_was_delegated_to_it() {
    let sandbox = gmail().await;
    let file: Value = serde_json::from_str(&sandbox.service_account_key().unwrap()).unwrap();
    let text = |name: &str| file[name].as_str().unwrap().to_owned();
    let key = SigningKey::from_pem(&Secret::new(text("private_key"))).unwrap();
    let other_key = {
        let other = gmail().await.service_account_key().unwrap();
        let other: Value = serde_json::from_str(&other).unwrap();
        SigningKey::from_pem(&Secret::new(other["private_key"].as_str().unwrap().to_owned())).unwrap()
    };
    let asked = async |key: &SigningKey, mailbox: &str, life: u64| {
        let (now, _) = jwt::times(SystemTime::now(), Duration::ZERO);
        let claims = json!({
            "iss": text("client_email"),
            "sub": mailbox,
            "scope": SCOPE,
            "aud": text("token_uri"),
            "iat": now,
            "exp": now + life,
        });
        let assertion = key.sign(Algorithm::Rs256, None, &claims).unwrap();
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.expose().as_str()),
        ];
        post(&sandbox, &form).await
    };
    let error = |(status, json): (u16, Value)| (status, json["error"].as_str().map(str::to_owned));
    let refused = |status, code: &str| (status, Some(code.to_owned()));
    assert_eq!(
        error(asked(&key, ADA, 60).await),
        refused(401, "unauthorized_client"),
        "before the delegation"
    );
    sandbox.delegate_domain("example.com", SCOPE);
    assert_eq!(error(asked(&key, "ada@example.org", 60).await), refused(401, "unauthorized_client"));
    assert_eq!(error(asked(&other_key, ADA, 60).await), refused(400, "invalid_grant"));
    assert_eq!(error(asked(&key, ADA, 3601).await), refused(400, "invalid_grant"));
    let (status, json) = asked(&key, ADA, 3600).await;
    assert_eq!((status, &json["refresh_token"]), (200, &Value::Null));
    let mut imap = Wire::inside_tls(&sandbox, sandbox.ports().imaps).await;
    imap.line().await;
    let message = xoauth2(ADA, json["access_token"].as_str().unwrap());
    assert_eq!(imap.ask(&format!("a AUTHENTICATE XOAUTH2 {message}")).await, "a OK Authenticated (Success)");
}
