//! What the mail servers made of an account's last logins, by protocol: let in, or refused for good, in which words. Rule: whichever
//! is later counts, in whatever order the two are written.

use std::collections::BTreeMap;
use std::time::SystemTime;

use gatepost_protocol::Protocol;

use super::accounts::AccountId;
use super::{NOTED_WITHIN, Store, StoreError, milliseconds, system_time};

/// What a server of one protocol made of an account's logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLogins {
    /// By which protocol.
    pub protocol: Protocol,
    /// When it last let one in, to the minute.
    pub let_in_at: Option<SystemTime>,
    /// Why it lets none in now.
    pub refused: Option<RefusedLogin>,
}

/// A mail server's lasting no to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLogin {
    /// When it was last said, to the minute.
    pub at: SystemTime,
    /// The server's words.
    pub said: String,
    /// The id of what is known of them.
    pub diagnosis: Option<String>,
}

impl Store {
    /// Notes that the provider let a login by this protocol in, which ends what it refused before.
    pub async fn note_let_in(
        &self,
        account: AccountId,
        protocol: Protocol,
        at: SystemTime,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO upstream_logins (account_id, protocol, let_in_at)
             SELECT id, $2, $3 FROM accounts WHERE id = $1
             ON CONFLICT (account_id, protocol) DO UPDATE SET
                 let_in_at = excluded.let_in_at, refused_at = NULL, said = NULL, diagnosis = NULL
             WHERE refused_at IS NULL OR refused_at NOT BETWEEN $3 AND $4",
        )
        .bind(account.0)
        .bind(protocol.name())
        .bind(milliseconds(at))
        .bind(milliseconds(at + NOTED_WITHIN))
        .execute(&self.writer)
        .await?;
        self.note_login(account, at).await
    }

    /// Notes that the provider refused a login by this protocol for good. Accounts like `*@contoso.com` are not judged by one
    /// mailbox, whose name may be mistyped.
    pub async fn note_refused_login(
        &self,
        account: AccountId,
        protocol: Protocol,
        refused: &RefusedLogin,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO upstream_logins (account_id, protocol, refused_at, said, diagnosis)
             SELECT id, $2, $3, $5, $6 FROM accounts WHERE id = $1 AND address NOT LIKE '*@%'
             ON CONFLICT (account_id, protocol) DO UPDATE SET
                 refused_at = excluded.refused_at, said = excluded.said, diagnosis = excluded.diagnosis
             WHERE let_in_at IS NULL OR let_in_at NOT BETWEEN $3 AND $4",
        )
        .bind(account.0)
        .bind(protocol.name())
        .bind(milliseconds(refused.at))
        .bind(milliseconds(refused.at + NOTED_WITHIN))
        .bind(&refused.said)
        .bind(&refused.diagnosis)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Of every account, in the order of [`Protocol::ALL`].
    pub async fn upstream_logins(&self) -> Result<BTreeMap<AccountId, Vec<UpstreamLogins>>, StoreError> {
        type Row = (i64, String, Option<i64>, Option<i64>, Option<String>, Option<String>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT account_id, protocol, let_in_at, refused_at, said, diagnosis FROM upstream_logins",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut logins = BTreeMap::<_, Vec<_>>::new();
        for protocol in Protocol::ALL {
            for (account, _, let_in_at, refused_at, said, diagnosis) in
                rows.iter().filter(|row| row.1 == protocol.name())
            {
                let refused = refused_at.map(|at| RefusedLogin {
                    at: system_time(at),
                    said: said.clone().unwrap_or_default(),
                    diagnosis: diagnosis.clone(),
                });
                let let_in_at = let_in_at.map(system_time);
                let of_account = logins.entry(AccountId(*account)).or_default();
                of_account.push(UpstreamLogins { protocol, let_in_at, refused });
            }
        }
        Ok(logins)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, UNIX_EPOCH};

    use Protocol::{Imap, Smtp};

    use super::super::accounts::NewAccount;
    use super::super::tests::open;
    use super::*;

    const NOON: SystemTime = UNIX_EPOCH;

    async fn account(store: &Store, address: &str) -> AccountId {
        let (address, provider) = (address.to_owned(), "contoso".to_owned());
        store.add_account(&NewAccount { address, provider, ..NewAccount::default() }, None).await.unwrap().0
    }

    fn refused(at: SystemTime, said: &str) -> RefusedLogin {
        RefusedLogin { at, said: said.to_owned(), diagnosis: Some("D02".to_owned()) }
    }

    #[tokio::test]
    async fn of_a_login_and_a_refusal_the_later_counts_whichever_is_written_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let second = Duration::from_secs(1);
        let hour = Duration::from_hours(1);
        for (name, login, refusal, login_is_first, is_refused) in [
            ("login, refusal", NOON, NOON + second, true, true),
            ("login, refusal, written late", NOON, NOON + second, false, true),
            ("refusal, login", NOON + second, NOON, false, false),
            ("refusal, login, written late", NOON + second, NOON, true, false),
            // Moments that are far ahead were written before the clock was set back.
            ("refusal, clock set back, login", NOON, NOON + hour, false, false),
            ("login, clock set back, refusal", NOON + hour, NOON, true, true),
        ] {
            let ann = account(&store, &format!("{}@example.com", name.len())).await;
            if login_is_first {
                store.note_let_in(ann, Smtp, login).await.unwrap();
            }
            store.note_refused_login(ann, Smtp, &refused(refusal, "no")).await.unwrap();
            if !login_is_first {
                store.note_let_in(ann, Smtp, login).await.unwrap();
            }
            let found = store.upstream_logins().await.unwrap().remove(&ann).unwrap().remove(0);
            assert_eq!(found.refused.is_some(), is_refused, "{name}: {found:?}");
            sqlx::query("DELETE FROM accounts WHERE id = $1").bind(ann.0).execute(&store.pool).await.unwrap();
        }
    }

    #[tokio::test]
    async fn each_protocol_stands_for_itself_and_all_goes_with_the_account() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let ann = account(&store, "ann@example.com").await;
        store.note_refused_login(ann, Imap, &refused(NOON, "NO")).await.unwrap();
        store.note_refused_login(ann, Smtp, &refused(NOON, "535")).await.unwrap();
        store.note_let_in(ann, Smtp, NOON + NOTED_WITHIN).await.unwrap();
        let smtp = UpstreamLogins { protocol: Smtp, let_in_at: Some(NOON + NOTED_WITHIN), refused: None };
        let imap = UpstreamLogins { protocol: Imap, let_in_at: None, refused: Some(refused(NOON, "NO")) };
        assert_eq!(store.upstream_logins().await.unwrap(), BTreeMap::from([(ann, vec![smtp, imap])]));
        sqlx::query("DELETE FROM accounts WHERE id = $1").bind(ann.0).execute(&store.pool).await.unwrap();
        assert_eq!(store.upstream_logins().await.unwrap(), BTreeMap::new());
        // Nobody is there to be noted about.
        store.note_let_in(ann, Smtp, NOON).await.unwrap();
        store.note_refused_login(ann, Smtp, &refused(NOON, "535")).await.unwrap();
        assert_eq!(store.upstream_logins().await.unwrap(), BTreeMap::new());
    }

    #[tokio::test]
    async fn a_mistyped_mailbox_says_nothing_of_a_whole_domain() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let everybody = account(&store, "*@example.com").await;
        store.note_refused_login(everybody, Smtp, &refused(NOON, "535")).await.unwrap();
        assert_eq!(store.upstream_logins().await.unwrap(), BTreeMap::new());
    }
}
