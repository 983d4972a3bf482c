//! What the mail servers made of an account's last logins, by protocol: let in, or refused for good, in which words. Rules: whichever
//! is later counts, in whatever order the two are written; and only a protocol that a device has tried is noted.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;

use super::accounts::AccountId;
use super::{NOTED_WITHIN, Store, StoreError, milliseconds, system_time};

/// How exactly it is known when an account was last let in or refused. What says no more than the row is not written.
const NOTED_EVERY: Duration = Duration::from_mins(1);

/// What a server of one protocol made of an account's logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLogins {
    /// By which protocol.
    pub protocol: Protocol,
    /// When it last let one in, to the minute.
    pub let_in_at: Option<SystemTime>,
    /// Since when it lets none in.
    pub refused_since: Option<SystemTime>,
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
    /// Notes that the provider let a device's login by this protocol in, which ends what it refused before.
    pub async fn note_let_in(
        &self,
        account: AccountId,
        protocol: Protocol,
        at: SystemTime,
    ) -> Result<(), StoreError> {
        let done = sqlx::query(
            "INSERT INTO upstream_logins (account_id, protocol, let_in_at)
             SELECT id, $2, $3 FROM accounts WHERE id = $1
             ON CONFLICT (account_id, protocol) DO UPDATE SET
                 let_in_at = excluded.let_in_at, refused_at = NULL, refused_since = NULL, said = NULL, diagnosis = NULL
             WHERE CASE WHEN refused_at IS NULL THEN let_in_at IS NULL OR let_in_at NOT BETWEEN $5 AND $4
                        ELSE refused_at NOT BETWEEN $3 AND $4 END",
        )
        .bind(account.0)
        .bind(protocol.name())
        .bind(milliseconds(at))
        .bind(milliseconds(at + NOTED_WITHIN))
        .bind(lately(at))
        .execute(&self.writer)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(());
        }
        self.note_login(account, at).await
    }

    /// When a login by this protocol was noted as let in; `None` where one was refused since.
    pub async fn let_in_at(
        &self,
        account: AccountId,
        protocol: Protocol,
    ) -> Result<Option<SystemTime>, StoreError> {
        let let_in_at: Option<i64> = sqlx::query_scalar(
            "SELECT let_in_at FROM upstream_logins
             WHERE account_id = $1 AND protocol = $2 AND refused_at IS NULL AND let_in_at IS NOT NULL",
        )
        .bind(account.0)
        .bind(protocol.name())
        .fetch_optional(&self.pool)
        .await?;
        Ok(let_in_at.map(system_time))
    }

    /// Notes that the provider refused a device's login by this protocol for good. Accounts like `*@contoso.com` are not judged by
    /// one mailbox, whose name may be mistyped.
    pub async fn note_refused_login(
        &self,
        account: AccountId,
        protocol: Protocol,
        refused: &RefusedLogin,
    ) -> Result<(), StoreError> {
        // A moment that is later than this refusal was written before the clock was set back.
        sqlx::query(
            "INSERT INTO upstream_logins (account_id, protocol, refused_at, refused_since, said, diagnosis)
             SELECT id, $2, $3, $3, $5, $6 FROM accounts WHERE id = $1 AND address NOT LIKE '*@%'
             ON CONFLICT (account_id, protocol) DO UPDATE SET
                 refused_at = excluded.refused_at, said = excluded.said, diagnosis = excluded.diagnosis,
                 refused_since =
                     CASE WHEN refused_since <= excluded.refused_since THEN refused_since ELSE excluded.refused_since END
             WHERE (let_in_at IS NULL OR let_in_at NOT BETWEEN $3 AND $4)
                 AND (refused_at IS NULL OR said IS NOT excluded.said OR refused_at NOT BETWEEN $7 AND $4)",
        )
        .bind(account.0)
        .bind(protocol.name())
        .bind(milliseconds(refused.at))
        .bind(milliseconds(refused.at + NOTED_WITHIN))
        .bind(&refused.said)
        .bind(&refused.diagnosis)
        .bind(lately(refused.at))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Notes a login that somebody tried by hand: it confirms or ends what devices met, and says nothing of a protocol that none of
    /// them uses.
    pub async fn note_trial(
        &self,
        account: AccountId,
        protocol: Protocol,
        at: SystemTime,
        refused: Option<&RefusedLogin>,
    ) -> Result<(), StoreError> {
        let is_used = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM upstream_logins WHERE account_id = $1 AND protocol = $2)",
        )
        .bind(account.0)
        .bind(protocol.name())
        .fetch_one(&self.writer)
        .await?;
        match (refused, is_used) {
            (Some(refused), true) => self.note_refused_login(account, protocol, refused).await,
            (Some(_), false) => Ok(()),
            (None, true) => self.note_let_in(account, protocol, at).await,
            (None, false) => self.note_login(account, at).await,
        }
    }

    /// Of every account, in the order of [`Protocol::ALL`].
    pub async fn upstream_logins(&self) -> Result<BTreeMap<AccountId, Vec<UpstreamLogins>>, StoreError> {
        type Row = (i64, String, Option<i64>, Option<i64>, Option<i64>, Option<String>, Option<String>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT account_id, protocol, let_in_at, refused_since, refused_at, said, diagnosis FROM upstream_logins",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut logins = BTreeMap::<_, Vec<_>>::new();
        for protocol in Protocol::ALL {
            for (account, _, let_in_at, refused_since, refused_at, said, diagnosis) in
                rows.iter().filter(|row| row.1 == protocol.name())
            {
                let refused = refused_at.map(|at| RefusedLogin {
                    at: system_time(at),
                    said: said.clone().unwrap_or_default(),
                    diagnosis: diagnosis.clone(),
                });
                let (let_in_at, refused_since) = (let_in_at.map(system_time), refused_since.map(system_time));
                let of_account = logins.entry(AccountId(*account)).or_default();
                of_account.push(UpstreamLogins { protocol, let_in_at, refused_since, refused });
            }
        }
        Ok(logins)
    }
}

/// Whether a login at `at` says no more than that one was let in at `noted`, and nothing refused since.
pub fn says_no_more(noted: SystemTime, at: SystemTime) -> bool {
    (lately(at)..=milliseconds(at + NOTED_WITHIN)).contains(&milliseconds(noted))
}

/// From then on, another moment says no more.
fn lately(at: SystemTime) -> i64 {
    at.checked_sub(NOTED_EVERY).map_or(0, |before| milliseconds(before) + 1)
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
        let smtp = UpstreamLogins {
            protocol: Smtp,
            let_in_at: Some(NOON + NOTED_WITHIN),
            refused_since: None,
            refused: None,
        };
        let refusal = Some(refused(NOON, "NO"));
        let imap =
            UpstreamLogins { protocol: Imap, let_in_at: None, refused_since: Some(NOON), refused: refusal };
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

    #[tokio::test]
    async fn another_process_may_have_changed_the_row_and_who_says_nothing_new_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let ann = account(&store, "ann@example.com").await;
        let second = Duration::from_secs(1);
        let row = async || store.upstream_logins().await.unwrap().remove(&ann).unwrap().remove(0);
        // The daemon's login, then a command's refusal, then the daemon's login of the same minute.
        store.note_let_in(ann, Smtp, NOON).await.unwrap();
        store.note_trial(ann, Smtp, NOON + second, Some(&refused(NOON + second, "no"))).await.unwrap();
        assert!(row().await.refused.is_some());
        store.note_let_in(ann, Smtp, NOON + 2 * second).await.unwrap();
        assert_eq!((row().await.refused, row().await.let_in_at), (None, Some(NOON + 2 * second)));
        // The daemon's refusal, which a command ends, and the same refusal again.
        for at in [3_u32, 5] {
            store.note_refused_login(ann, Smtp, &refused(NOON + at * second, "no")).await.unwrap();
            assert_eq!(row().await.refused, Some(refused(NOON + at * second, "no")));
            store.note_trial(ann, Smtp, NOON + (at + 1) * second, None).await.unwrap();
            assert_eq!(row().await.refused, None);
        }
        let at = |seconds: u32| NOON + seconds * second;
        for (moment, let_in_at) in [(30, 6), (65, 6), (66, 66), (70, 66)] {
            store.note_let_in(ann, Smtp, at(moment)).await.unwrap();
            assert_eq!(row().await.let_in_at, Some(at(let_in_at)), "{moment}");
        }
        for (moment, said, noted) in [(71, "no", 71), (80, "no", 71), (81, "never", 81), (141, "never", 141)]
        {
            store.note_refused_login(ann, Smtp, &refused(at(moment), said)).await.unwrap();
            assert_eq!(row().await.refused, Some(refused(at(noted), said)), "{moment}");
            assert_eq!(row().await.refused_since, Some(at(71)), "{moment}");
        }
        // The clock was set back by a minute and more.
        store.note_refused_login(ann, Smtp, &refused(at(0), "never")).await.unwrap();
        assert_eq!((row().await.refused_since, row().await.let_in_at), (Some(at(0)), Some(at(66))));
    }

    #[tokio::test]
    async fn a_trial_says_nothing_of_a_protocol_that_no_device_uses() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let ann = account(&store, "ann@example.com").await;
        let minute = Duration::from_mins(1);
        store.note_trial(ann, Imap, NOON, Some(&refused(NOON, "NO"))).await.unwrap();
        store.note_trial(ann, Smtp, NOON, None).await.unwrap();
        assert_eq!(store.upstream_logins().await.unwrap(), BTreeMap::new());
        assert_eq!(store.last_logins().await.unwrap(), BTreeMap::from([(ann, NOON)]));
        store.note_let_in(ann, Imap, NOON).await.unwrap();
        store.note_trial(ann, Imap, NOON + minute, Some(&refused(NOON + minute, "NO"))).await.unwrap();
        let imap = store.upstream_logins().await.unwrap().remove(&ann).unwrap().remove(0);
        assert_eq!((imap.protocol, imap.refused), (Imap, Some(refused(NOON + minute, "NO"))));
    }

    #[tokio::test]
    async fn another_user_name_is_another_login() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let ann = account(&store, "ann@example.com").await;
        let is_refused = async || store.upstream_logins().await.unwrap().contains_key(&ann);
        let described = store.account(ann).await.unwrap().unwrap().described();
        store.note_refused_login(ann, Imap, &refused(NOON, "NO")).await.unwrap();
        let owner = Some("admin@example.com".to_owned());
        store.update_account(ann, &NewAccount { owner, ..described.clone() }).await.unwrap();
        assert!(is_refused().await, "it logs in as before");
        let name = || Some("office".to_owned());
        for changed in [
            NewAccount { smtp_user_name: name(), ..described.clone() },
            NewAccount { pop3_user_name: name(), ..described.clone() },
            NewAccount { imap_user_name: name(), ..described.clone() },
        ] {
            store.note_refused_login(ann, Imap, &refused(NOON, "NO")).await.unwrap();
            store.update_account(ann, &changed).await.unwrap();
            assert!(!is_refused().await, "{changed:?}");
        }
        store.note_refused_login(ann, Smtp, &refused(NOON, "535")).await.unwrap();
        store.remember_owner(ann, None, Some("admin@example.com")).await.unwrap();
        assert!(!is_refused().await);
    }
}
