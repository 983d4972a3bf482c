//! The names that devices log in with, across accounts and providers: which of them a listener could take for either of two.

use super::{Store, StoreError};
use crate::address::spellings;

/// What a start asks: of however many names, it reads those in doubt alone (migration 0009). CROSS JOIN keeps the order of the tables.
const IN_DOUBT: &str = "
    SELECT DISTINCT in_doubt.user_name, provider
    FROM user_names_in_doubt AS in_doubt
    CROSS JOIN credentials ON lower(credentials.user_name) = lower(in_doubt.user_name)
    CROSS JOIN accounts ON accounts.id = credentials.account_id
    ORDER BY 1, 2";

impl Store {
    /// The user names that accounts at more than one provider may have, each with every provider of it, in lower case: those that
    /// several accounts have or had, and all whose domain may be written otherwise.
    pub async fn user_names_in_doubt(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query_as(IN_DOUBT).fetch_all(&self.pool).await?)
    }

    /// The providers of the accounts that have this user name, in whatever case and spelling.
    pub async fn providers_of_user_name(&self, user_name: &str) -> Result<Vec<String>, StoreError> {
        let [written, in_ascii, in_own_script] = spellings(user_name);
        let providers = sqlx::query_scalar(
            "SELECT DISTINCT provider FROM credentials JOIN accounts ON accounts.id = credentials.account_id
             WHERE lower(user_name) IN ($1, $2, $3) ORDER BY 1",
        )
        .bind(written)
        .bind(in_ascii)
        .bind(in_own_script)
        .fetch_all(&self.pool)
        .await?;
        Ok(providers)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use gatepost_protocol::secret::Secret;
    use sqlx::AssertSqlSafe;

    use super::IN_DOUBT;
    use crate::store::accounts::NewAccount;
    use crate::store::credentials::NewCredential;
    use crate::store::tests::{open, open_with_the_first_migration};

    const IN_DOUBT_THERE: [(&str, &str); 4] = [
        ("fax@bücher.example", "contoso"),
        ("fax@xn--bcher-kva.example", "fabrikam"),
        ("scanner", "contoso"),
        ("scanner", "fabrikam"),
    ];

    #[tokio::test]
    async fn only_the_names_in_doubt_are_gone_through() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {IN_DOUBT}")))
                .fetch_all(&store.pool)
                .await
                .unwrap();
        let mut read: Vec<_> = plan.into_iter().map(|(.., step)| step).collect();
        read.retain(|step| step.starts_with("SCAN "));
        assert_eq!(read, ["SCAN in_doubt USING COVERING INDEX sqlite_autoindex_user_names_in_doubt_1"]);
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_any_more_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let password_hash = Secret::new(String::new());
        let user_name = "Scanner".to_owned();
        let credential = NewCredential { user_name, mailbox: None, password_hash, label: None };
        let mut accounts = Vec::new();
        for provider in ["contoso", "fabrikam"] {
            let account = NewAccount { provider: provider.to_owned(), ..NewAccount::default() };
            accounts.push(store.add_account(&account, Some(&credential)).await.unwrap().0);
        }
        let kept = async || -> Vec<String> {
            sqlx::query_scalar("SELECT user_name FROM user_names_in_doubt")
                .fetch_all(&store.pool)
                .await
                .unwrap()
        };
        for left in [&["scanner"][..], &["scanner"], &[]] {
            assert_eq!(kept().await, left);
            if let Some(account) = accounts.pop() {
                store.remove_account(account).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn an_older_store_s_names_are_in_the_same_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let old = open_with_the_first_migration(folder.path()).await;
        for (account, provider) in [(1, "contoso"), (2, "fabrikam")] {
            sqlx::query("INSERT INTO accounts (id, provider, address) VALUES ($1, $2, 'ann')")
                .bind(account)
                .bind(provider)
                .execute(&old.pool)
                .await
                .unwrap();
        }
        for (account, user_name) in [
            (1, "Scanner"),
            (2, "scanner"),
            (1, "Fax@bücher.example"),
            (2, "fax@xn--bcher-KVA.example"),
            (2, "copier"),
            (2, "copier"),
        ] {
            sqlx::query(
                "INSERT INTO credentials (account_id, user_name, password_hash_sealed, created_at)
                 VALUES ($1, $2, x'', 0)",
            )
            .bind(account)
            .bind(user_name)
            .execute(&old.pool)
            .await
            .unwrap();
        }
        old.close().await;
        let names = open(folder.path()).await.unwrap().user_names_in_doubt().await.unwrap();
        let names: Vec<_> = names.iter().map(|(name, provider)| (name.as_str(), provider.as_str())).collect();
        assert_eq!(names, IN_DOUBT_THERE);
    }

    #[tokio::test]
    async fn a_user_name_of_several_accounts_is_told_once_for_each_of_its_providers() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        for (address, provider, user_name) in [
            ("ann", "contoso", "Scanner"),
            ("bob", "fabrikam", "scanner"),
            ("carl", "fabrikam", "carl"),
            ("dora", "fabrikam", "Carl"),
            ("emil", "fabrikam", "SCANNER"),
            ("fay", "contoso", "Fax@bücher.example"),
            ("gus", "fabrikam", "fax@xn--bcher-KVA.example"),
        ] {
            let account = NewAccount {
                address: format!("{address}@example.com"),
                provider: provider.to_owned(),
                ..NewAccount::default()
            };
            let password_hash = Secret::new(String::new());
            let user_name = user_name.to_owned();
            let credential = NewCredential { user_name, mailbox: None, password_hash, label: None };
            let (id, _) = store.add_account(&account, Some(&credential)).await.unwrap();
            // A second device of the same mailbox.
            store.add_credential(id, &credential).await.unwrap();
        }
        let names = store.user_names_in_doubt().await.unwrap();
        let names: Vec<_> = names.iter().map(|(name, provider)| (name.as_str(), provider.as_str())).collect();
        // Whether two accounts are of one provider, who asks looks for himself.
        assert_eq!(names, [&[("carl", "fabrikam")], &IN_DOUBT_THERE[..]].concat());
        for (name, providers) in [
            ("sCanner", &["contoso", "fabrikam"][..]),
            ("FAX@bücher.example", &["contoso", "fabrikam"]),
            ("Carl", &["fabrikam"]),
            ("ann", &[]),
        ] {
            assert_eq!(store.providers_of_user_name(name).await.unwrap(), providers, "{name}");
        }
    }
}
