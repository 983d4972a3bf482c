//! The names that devices log in with, across accounts and providers: which of them a listener could take for either of two.

use super::{Store, StoreError};
use crate::address::spellings;

impl Store {
    /// The user names that accounts at more than one provider may have, each with every provider of it, in lower case: those that are
    /// written alike at several, and all whose domain may be written otherwise.
    pub async fn user_names_in_doubt(&self) -> Result<Vec<(String, String)>, StoreError> {
        // Counted in the database: a start reads this, and there may be thousands of names.
        let pairs = sqlx::query_as(
            "SELECT DISTINCT lower(user_name), provider
             FROM credentials JOIN accounts ON accounts.id = credentials.account_id
             WHERE lower(user_name) IN (
                 SELECT lower(user_name) FROM credentials JOIN accounts ON accounts.id = credentials.account_id
                 GROUP BY lower(user_name) HAVING COUNT(DISTINCT provider) > 1)
                 OR lower(user_name) GLOB '*@*xn--*' OR user_name GLOB '*@*[^ -~]*'
             ORDER BY 1, 2",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(pairs)
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

    use crate::store::accounts::NewAccount;
    use crate::store::credentials::NewCredential;
    use crate::store::tests::open;

    #[tokio::test]
    async fn a_user_name_is_told_once_for_each_of_its_providers_and_only_where_these_may_be_several() {
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
            store.add_account(&account, Some(&credential)).await.unwrap();
        }
        let names = store.user_names_in_doubt().await.unwrap();
        let names: Vec<_> = names.iter().map(|(name, provider)| (name.as_str(), provider.as_str())).collect();
        assert_eq!(
            names,
            [
                ("fax@bücher.example", "contoso"),
                ("fax@xn--bcher-kva.example", "fabrikam"),
                ("scanner", "contoso"),
                ("scanner", "fabrikam"),
            ]
        );
        for (name, providers) in [
            ("sCanner", &["contoso", "fabrikam"][..]),
            ("FAX@bücher.example", &["contoso", "fabrikam"]),
            ("carl", &["fabrikam"]),
            ("ann", &[]),
        ] {
            assert_eq!(store.providers_of_user_name(name).await.unwrap(), providers, "{name}");
        }
    }
}
