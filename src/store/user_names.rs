//! The names that devices log in with, across accounts and providers: which of them a listener could take for either of two.

use super::{Store, StoreError};

impl Store {
    /// The user names, in lower case, of accounts at more than one provider, each with every one of these.
    pub async fn user_names_of_several_providers(&self) -> Result<Vec<(String, String)>, StoreError> {
        // Counted in the database: a start reads this, and there may be thousands of names.
        let pairs = sqlx::query_as(
            "SELECT DISTINCT lower(user_name), provider
             FROM credentials JOIN accounts ON accounts.id = credentials.account_id
             WHERE lower(user_name) IN (
                 SELECT lower(user_name) FROM credentials JOIN accounts ON accounts.id = credentials.account_id
                 GROUP BY lower(user_name) HAVING COUNT(DISTINCT provider) > 1)
             ORDER BY 1, 2",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(pairs)
    }

    /// The providers of the accounts that have this user name, in whatever case.
    pub async fn providers_of_user_name(&self, user_name: &str) -> Result<Vec<String>, StoreError> {
        let providers = sqlx::query_scalar(
            "SELECT DISTINCT provider FROM credentials JOIN accounts ON accounts.id = credentials.account_id
             WHERE lower(user_name) = $1 ORDER BY 1",
        )
        .bind(user_name.to_ascii_lowercase())
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
    async fn a_user_name_is_told_once_for_each_of_its_providers_and_only_where_these_are_several() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        for (address, provider, user_name) in [
            ("ann", "contoso", "Scanner"),
            ("bob", "fabrikam", "scanner"),
            ("carl", "fabrikam", "carl"),
            ("dora", "fabrikam", "Carl"),
            ("emil", "fabrikam", "SCANNER"),
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
        let names = store.user_names_of_several_providers().await.unwrap();
        let names: Vec<_> = names.iter().map(|(name, provider)| (name.as_str(), provider.as_str())).collect();
        assert_eq!(names, [("scanner", "contoso"), ("scanner", "fabrikam")]);
        for (name, providers) in
            [("sCanner", &["contoso", "fabrikam"][..]), ("carl", &["fabrikam"]), ("ann", &[])]
        {
            assert_eq!(store.providers_of_user_name(name).await.unwrap(), providers, "{name}");
        }
    }
}
