//! An alarm by mail through servers that nobody here wrote: a daemon sees that an account is refused, and Postfix takes the message
//! from the account that works.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "the support is shared with other tests")]

#[path = "support/real/mod.rs"]
mod real;

use gatepost::account::AccountId;
use gatepost::store::Store;
use gatepost::store::grants::GrantKey;

use real::gatepost::Gatepost;
use real::mail::Connection;
use real::oidc::{Client, text};
use real::{MailProvider, Tls};

const MARTHA: &str = "martha@example.test";
const SHARED: &str = "shared@example.test";

#[tokio::test]
async fn postfix_takes_an_alarm_and_dovecot_delivers_it() {
    let Some(provider) = MailProvider::start().await else { return };
    let yaml = provider.provider_yaml("real", Client::Confidential, Tls::StartTls);
    let yaml = format!("{yaml}on_alarm: {{ mail_to: {MARTHA} }}\n");
    let mut gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    for address in [MARTHA, SHARED] {
        gatepost.add_account(address, "real");
        gatepost.connect(address, &provider).await;
    }
    let told = gatepost.command(&["alarm", "test"], "");
    assert!(told.contains(&format!("mail: sent to {MARTHA} through ")), "{told}");
    provider.await_delivery(MARTHA, 1);

    let store = Store::open(&gatepost.state_dir()).await.unwrap();
    let key = GrantKey::Account(AccountId(2));
    let version = store.grant(&key).await.unwrap().unwrap().version;
    store.mark_refused(&key, version, "invalid_grant: für immer widerrufen").await.unwrap();
    gatepost.run();
    provider.await_delivery(MARTHA, 2);

    let token = text(&provider.oidc.tokens(Client::Confidential, MARTHA).await, "access_token");
    let mut fetching = Connection::implicit(provider.dovecot.pop3s, &provider.certificates.client);
    assert!(fetching.line().starts_with("+OK"));
    assert!(fetching.xoauth2(MARTHA, &token).starts_with("+OK"));
    let message = fetching.pop3_lines("RETR 2");
    let message = String::from_utf8(message).unwrap();
    assert!(message.is_ascii(), "{message}");
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    for line in [
        format!("From: \"Gatepost\" <{MARTHA}>"),
        format!("To: <{MARTHA}>"),
        "Auto-Submitted: auto-generated".to_owned(),
        "Content-Transfer-Encoding: quoted-printable".to_owned(),
    ] {
        assert!(header.lines().any(|said| said == line), "{line} is not in\n{header}");
    }
    let body = body.replace("=\r\n", "").replace("=C3=BC", "ü");
    for words in
        ["shared@example.test is refused.\r\n  Why: ", "invalid_grant: für immer widerrufen\r\n  Next: "]
    {
        assert!(body.contains(words), "{words}: {body}");
    }
    // It was sent once: after the third message, which is the test's own, there is no fourth.
    gatepost.command(&["alarm", "test"], "");
    provider.await_delivery(MARTHA, 3);
    assert_eq!(provider.dovecot.messages(MARTHA), 3);
}
