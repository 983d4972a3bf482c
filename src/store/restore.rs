//! Bringing what a backup holds into the store, in one transaction: all of it, or nothing. Rule: an account that is there already is
//! left as it is, unless its replacement was asked for.

use std::time::SystemTime;

use sqlx::SqliteConnection;

use super::accounts::{self, Account, AccountId, NewAccount};
use super::contents::{AccountContents, Carried, Contents, GrantContents, PasswordContents};
use super::credentials::{self, NewCredential};
use super::forget::forget;
use super::grants::{self, GrantKey};
use super::seal::Sealer;
use super::{Store, StoreError, mailbox_passwords};
use crate::address;

/// What became of an account of the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It was not there.
    Added,
    /// It was there, and stays as it was.
    LeftAlone,
    /// It was there, and is as in the backup now.
    Replaced,
}

impl Store {
    /// Restores the contents of a backup; tells for each of its accounts, in their order, what became of it.
    pub async fn restore(&self, contents: &Contents, replace: bool) -> Result<Vec<Restored>, StoreError> {
        let (mut transaction, sealer) = self.begin_writing().await?;
        let there = accounts::all(&mut transaction).await?;
        let mut restored = Vec::new();
        let mut changed = Vec::new();
        for account in &contents.accounts {
            let old = there.iter().find(|old| is(old, account));
            let (id, done) = match old {
                Some(_) if !replace => {
                    restored.push(Restored::LeftAlone);
                    continue;
                }
                Some(old) => (old.id, Restored::Replaced),
                None => (accounts::insert(&mut transaction, &described(account)).await?, Restored::Added),
            };
            restore_account(&sealer, &mut transaction, id, account).await?;
            restored.push(done);
            changed.push((id, account));
        }
        // Now that all are there: one may use the grant of another.
        for (id, account) in changed {
            let token_account = match &account.token_account {
                Some(owner) => accounts::with_own_grant(&mut transaction, &account.provider, owner).await?,
                None => None,
            };
            let account = NewAccount { token_account, ..described(account) };
            accounts::update(&mut transaction, id, &account).await?;
        }
        for (provider, grant) in &contents.applications {
            let key = GrantKey::Provider(provider.clone());
            restore_grant(&sealer, &mut transaction, &key, grant, replace).await?;
        }
        transaction.commit().await?;
        Ok(restored)
    }
}

fn is(old: &Account, account: &AccountContents) -> bool {
    old.provider == account.provider && address::same(&old.address, &account.address)
}

fn described(account: &AccountContents) -> NewAccount {
    NewAccount {
        address: account.address.clone(),
        provider: account.provider.clone(),
        smtp_user_name: account.smtp_user_name.clone(),
        pop3_user_name: account.pop3_user_name.clone(),
        imap_user_name: account.imap_user_name.clone(),
        owner: account.owner.clone(),
        token_account: None,
        disabled: account.disabled,
    }
}

/// All that belongs to the account, in place of whatever it had.
async fn restore_account(
    sealer: &Sealer,
    connection: &mut SqliteConnection,
    id: AccountId,
    account: &AccountContents,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE accounts SET last_login_at = $2 WHERE id = $1")
        .bind(id.0)
        .bind(account.last_login_at)
        .execute(&mut *connection)
        .await?;
    let delete = sqlx::query("DELETE FROM upstream_logins WHERE account_id = $1").bind(id.0);
    delete.execute(&mut *connection).await?;
    restore_credentials(sealer, connection, id, account).await?;
    restore_grants(sealer, connection, id, account).await?;
    if let Some(password) = &account.password {
        return restore_password(sealer, connection, id, password).await;
    }
    let delete = sqlx::query("DELETE FROM mailbox_passwords WHERE account_id = $1").bind(id.0);
    delete.execute(connection).await?;
    Ok(())
}

async fn restore_credentials(
    sealer: &Sealer,
    connection: &mut SqliteConnection,
    id: AccountId,
    account: &AccountContents,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM credentials WHERE account_id = $1").bind(id.0).execute(&mut *connection).await?;
    for credential in &account.credentials {
        let new = NewCredential {
            user_name: credential.user_name.clone(),
            mailbox: credential.mailbox.clone(),
            password_hash: credential.password_hash.0.clone(),
            label: credential.label.clone(),
        };
        let credential_id = credentials::insert(sealer, connection, id, &new).await?;
        sqlx::query("UPDATE credentials SET created_at = $2, last_used_at = $3 WHERE id = $1")
            .bind(credential_id.0)
            .bind(credential.created_at)
            .bind(credential.last_used_at)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn restore_grants(
    sealer: &Sealer,
    connection: &mut SqliteConnection,
    id: AccountId,
    account: &AccountContents,
) -> Result<(), StoreError> {
    let own = account.grant.iter().map(|grant| (GrantKey::Account(id), grant));
    let of_mailboxes =
        account.mailbox_grants.iter().map(|(mailbox, grant)| (GrantKey::Mailbox(id, mailbox.clone()), grant));
    let restored: Vec<_> = own.chain(of_mailboxes).collect();
    for (key, grant) in &restored {
        restore_grant(sealer, connection, key, grant, true).await?;
    }
    let there: Vec<String> = sqlx::query_scalar("SELECT owner FROM grants WHERE account_id = $1")
        .bind(id.0)
        .fetch_all(&mut *connection)
        .await?;
    for owner in there.iter().filter(|owner| !restored.iter().any(|(key, _)| key.to_string() == **owner)) {
        forget(&mut *connection, owner, None).await?;
    }
    Ok(())
}

/// Where there is a grant already, its version is raised, so that nobody takes this one for what was there.
async fn restore_grant(
    sealer: &Sealer,
    connection: &mut SqliteConnection,
    key: &GrantKey,
    grant: &GrantContents,
    replace: bool,
) -> Result<(), StoreError> {
    let owner = key.to_string();
    let seal = |record, token: &Option<Carried>| {
        token.as_ref().map(|token| sealer.seal(record, &token.0)).transpose()
    };
    let record = &grant.record;
    sqlx::query(
        "INSERT INTO grants
             (owner, account_id, version, refresh_token_sealed, access_token_sealed, expires_at, scopes, identity, refused,
              issued_at, used_at, failed_since, failed_at, failure, failure_lasts)
         VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (owner) DO UPDATE SET
             version = grants.version + 1, refresh_token_sealed = excluded.refresh_token_sealed,
             access_token_sealed = excluded.access_token_sealed, expires_at = excluded.expires_at,
             scopes = excluded.scopes, identity = excluded.identity, refused = excluded.refused,
             issued_at = excluded.issued_at, used_at = excluded.used_at, failed_since = excluded.failed_since,
             failed_at = excluded.failed_at, failure = excluded.failure, failure_lasts = excluded.failure_lasts,
             lease_holder = NULL, lease_until = NULL
         WHERE $15",
    )
    .bind(&owner)
    .bind(key.account())
    .bind(seal(grants::refresh_record(&owner), &grant.refresh_token)?)
    .bind(seal(grants::access_record(&owner), &grant.access_token)?)
    .bind(record.expires_at)
    .bind(&record.scopes)
    .bind(&record.identity)
    .bind(&record.refused)
    .bind(record.issued_at)
    .bind(record.used_at)
    .bind(record.failed_since)
    .bind(record.failed_at)
    .bind(&record.failure)
    .bind(record.failure_lasts)
    .bind(replace)
    .execute(connection)
    .await?;
    Ok(())
}

async fn restore_password(
    sealer: &Sealer,
    connection: &mut SqliteConnection,
    id: AccountId,
    password: &PasswordContents,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO mailbox_passwords (account_id, version, password_sealed, refused) VALUES ($1, $4, $2, $3)
         ON CONFLICT (account_id) DO UPDATE SET
             version = mailbox_passwords.version + 1, password_sealed = excluded.password_sealed,
             refused = excluded.refused",
    )
    .bind(id.0)
    .bind(sealer.seal(mailbox_passwords::record(&id.0.to_string()), &password.password.0)?)
    .bind(&password.refused)
    .bind(mailbox_passwords::first_version(SystemTime::now()))
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use gatepost_protocol::Protocol;
    use gatepost_protocol::secret::Secret;

    use super::super::contents::CredentialContents;
    use super::super::grants::{Identity, NewTokens};
    use super::super::tests::open;
    use super::super::upstream_logins::RefusedLogin;
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn tokens(text: &str) -> NewTokens {
        NewTokens {
            access_token: secret(&format!("access {text}")),
            refresh_token: Some(secret(&format!("refresh {text}"))),
            issued_at: SystemTime::UNIX_EPOCH + Duration::from_secs(7),
            expires_at: SystemTime::now() + Duration::from_hours(1),
            scopes: vec!["mail".to_owned(), "offline_access".to_owned()],
            identity: Identity::new(["ann@example.com".to_owned()]),
        }
    }

    fn credential(user_name: &str) -> NewCredential {
        NewCredential {
            user_name: user_name.to_owned(),
            mailbox: None,
            password_hash: secret(&format!("the hash of {user_name}")),
            label: Some("Epson".to_owned()),
        }
    }

    /// Ann, whose grant the office uses; a catch-all; and one with a password.
    async fn fill(store: &Store) {
        let new = |address: &str| NewAccount {
            address: address.to_owned(),
            provider: "contoso".to_owned(),
            ..NewAccount::default()
        };
        // First the one that needs the other.
        let office = NewAccount {
            owner: Some("ann@example.com".to_owned()),
            smtp_user_name: Some("ann@example.com".to_owned()),
            disabled: true,
            ..new("Office@example.com")
        };
        let (office_id, _) = store.add_account(&office, Some(&credential("scanner"))).await.unwrap();
        let (ann, scan) = store.add_account(&new("ann@example.com"), Some(&credential("ann"))).await.unwrap();
        let borrowing = NewAccount { token_account: Some(ann), ..office };
        assert!(store.update_account(office_id, &borrowing).await.unwrap());
        let (all, _) = store.add_account(&new("*@example.com"), None).await.unwrap();
        let (post, _) = store.add_account(&new("post@example.com"), None).await.unwrap();
        for key in [
            GrantKey::Account(ann),
            GrantKey::Mailbox(all, "c:d@example.com".to_owned()),
            GrantKey::Provider("contoso".to_owned()),
        ] {
            store.replace_grant(&key, &tokens("of the backup")).await.unwrap();
        }
        store.note_failure(&GrantKey::Account(ann), Some(1), SystemTime::now(), "down", false).await.unwrap();
        store.replace_mailbox_password(post, &secret("its \"own\"")).await.unwrap();
        let noon = SystemTime::UNIX_EPOCH + Duration::from_hours(12);
        store.note_use(scan.unwrap(), noon).await.unwrap();
        store.note_login(ann, noon).await.unwrap();
    }

    async fn written(store: &Store) -> String {
        serde_json::to_string_pretty(&store.contents().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_empty_store_becomes_what_the_backup_is_of() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (open(from.path()).await.unwrap(), open(to.path()).await.unwrap());
        fill(&from).await;
        // Other row numbers than there.
        let (gone, _) = to.add_account(&NewAccount::default(), None).await.unwrap();
        to.remove_account(gone).await.unwrap();
        let contents = from.contents().await.unwrap();
        assert_eq!(to.restore(&contents, false).await.unwrap(), [Restored::Added; 4]);
        assert_eq!(written(&to).await, written(&from).await);
        // And every secret opens at its new place.
        let office = to.accounts_at("office@example.com").await.unwrap().remove(0);
        let grant = to.grant(&GrantKey::Account(office.token_account.unwrap())).await.unwrap().unwrap();
        assert_eq!(grant.refresh_token.unwrap().expose(), "refresh of the backup");
        let (account, credential) = to.credentials_named("scanner").await.unwrap().remove(0);
        assert_eq!(
            (account.id, credential.password_hash.expose().as_str()),
            (office.id, "the hash of scanner")
        );
    }

    #[tokio::test]
    async fn an_account_that_is_there_stays_unless_its_replacement_is_asked_for() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (open(from.path()).await.unwrap(), open(to.path()).await.unwrap());
        fill(&from).await;
        let contents = from.contents().await.unwrap();
        let new = NewAccount {
            address: "ANN@example.com".to_owned(),
            provider: "contoso".to_owned(),
            ..NewAccount::default()
        };
        let (ann, _) = to.add_account(&new, Some(&credential("another"))).await.unwrap();
        to.replace_grant(&GrantKey::Account(ann), &tokens("of here")).await.unwrap();
        to.replace_grant(&GrantKey::Mailbox(ann, "x".to_owned()), &tokens("of here")).await.unwrap();
        to.replace_mailbox_password(ann, &secret("of here")).await.unwrap();
        let said = "535 of here".to_owned();
        let refused = RefusedLogin { at: SystemTime::now(), said, diagnosis: None };
        to.note_refused_login(ann, Protocol::Smtp, &refused).await.unwrap();

        let restored = to.restore(&contents, false).await.unwrap();
        assert_eq!(restored.iter().filter(|one| **one == Restored::LeftAlone).count(), 1);
        let grant = to.grant(&GrantKey::Account(ann)).await.unwrap().unwrap();
        assert_eq!(grant.refresh_token.unwrap().expose(), "refresh of here");
        assert_eq!(to.credentials(Some(ann)).await.unwrap().len(), 1);
        assert!(to.upstream_logins().await.unwrap().contains_key(&ann));
        let office = to.accounts_at("office@example.com").await.unwrap().remove(0);
        assert_eq!(office.token_account, Some(ann), "the one that is there serves");

        assert_eq!(to.restore(&contents, true).await.unwrap(), [Restored::Replaced; 4]);
        let grant = to.grant(&GrantKey::Account(ann)).await.unwrap().unwrap();
        assert_eq!(grant.refresh_token.unwrap().expose(), "refresh of the backup");
        assert_eq!(grant.version, 2, "whoever knew the other one looks again");
        assert_eq!(written(&to).await, written(&from).await, "nothing of what was there is left");
        assert!(to.upstream_logins().await.unwrap().is_empty(), "the next login tells");
    }

    #[tokio::test]
    async fn a_refresh_or_a_refusal_that_is_late_meets_nothing_that_came_by_a_backup_or_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let ann = NewAccount { address: "ann@example.com".to_owned(), ..NewAccount::default() };
        let (ann, _) = store.add_account(&ann, None).await.unwrap();
        let key = GrantKey::Account(ann);
        let without = store.contents().await.unwrap();
        let read = store.replace_grant(&key, &tokens("old")).await.unwrap();
        let password = store.replace_mailbox_password(ann, &secret("its own")).await.unwrap();
        let with = store.contents().await.unwrap();
        let hour = Duration::from_hours(1);
        assert!(store.lease_grant(SystemTime::now(), &key, read, "slow", hour).await.unwrap());

        store.restore(&without, true).await.unwrap();
        assert_eq!(written(&store).await, serde_json::to_string_pretty(&without).unwrap());
        store.restore(&with, true).await.unwrap();
        store.restore(&without, true).await.unwrap();
        store.replace_grant(&key, &tokens("new")).await.unwrap();
        store.restore(&with, false).await.unwrap();
        let first = store.replace_mailbox_password(ann, &secret("its own")).await.unwrap();
        store.restore(&without, true).await.unwrap();
        store.restore(&with, true).await.unwrap();

        assert_eq!(store.commit_refresh(&key, read, &tokens("late")).await.unwrap(), None);
        store.mark_refused(&key, read, "invalid_grant").await.unwrap();
        store.note_failure(&key, Some(read), SystemTime::now(), "down", false).await.unwrap();
        for version in [password, first, 1] {
            store.note_password_verdict(ann, version, Some("535 no")).await.unwrap();
        }
        assert_eq!(written(&store).await, serde_json::to_string_pretty(&with).unwrap());
    }

    #[tokio::test]
    async fn an_account_is_there_in_whatever_way_its_domain_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let new = |address: &str| NewAccount { address: address.to_owned(), ..NewAccount::default() };
        let (ann, _) = store.add_account(&new("Ann@b\u{fc}cher.example"), None).await.unwrap();
        let mut contents = store.contents().await.unwrap();
        for account in &mut contents.accounts {
            account.address = "ann@xn--bcher-kva.example".to_owned();
        }
        assert_eq!(store.restore(&contents, false).await.unwrap(), [Restored::LeftAlone]);
        assert_eq!(store.restore(&contents, true).await.unwrap(), [Restored::Replaced]);
        let there: Vec<_> = store.accounts().await.unwrap().into_iter().map(|account| account.id).collect();
        assert_eq!(there, [ann]);
    }

    #[tokio::test]
    async fn what_cannot_be_restored_whole_is_not_restored_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        fill(&store).await;
        let mut contents = store.contents().await.unwrap();
        let (from, before) = (contents.accounts.remove(0), written(&store).await);
        for number in 0..9 {
            let mut account = from.clone();
            account.address = format!("{number}@example.com");
            account.credentials.push(CredentialContents::from(
                store.credentials_named("scanner").await.unwrap().remove(0).1,
            ));
            contents.accounts.push(account);
        }
        let refused = store.restore(&contents, true).await;
        assert!(matches!(refused, Err(StoreError::TooManyCredentials { .. })), "{refused:?}");
        assert_eq!(written(&store).await, before);
    }
}
