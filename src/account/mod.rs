//! From a local login to an account. A [`Credential`] is what a device types; an [`Account`] is a mailbox at a provider.
//! The two are never derived from each other, nor from a token.

pub mod catch_all;
pub mod name;
pub mod password;
mod verified;

use std::sync::Arc;
use std::time::SystemTime;

use gatepost_protocol::Protocol;
use gatepost_protocol::failure::{AuthFailure, Cause};
use gatepost_protocol::sasl::Credentials;
use gatepost_protocol::secret::Secret;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::store::credentials::minute;
use crate::store::fresh::Fresh;
use crate::store::upstream_logins::{RefusedLogin, says_no_more};
use crate::store::{NOTED_WITHIN, Store, StoreError};
use password::{Hasher, PasswordError};
use verified::VerifiedPasswords;

pub use crate::store::accounts::{Account, AccountId};
pub use crate::store::credentials::{Credential, CredentialId};

/// What an unknown user's password is compared with: an Argon2id hash of zeros, at the cost of everybody's.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The one call that a session makes.
#[derive(Clone, Debug)]
pub struct Accounts {
    store: Store,
    hasher: Hasher,
    verified: Arc<VerifiedPasswords>,
    /// By user name as it is typed.
    known: Arc<Fresh<String, Arc<Candidates>>>,
    /// When the last login that was let in is noted.
    let_in: Arc<Fresh<(AccountId, Protocol), SystemTime>>,
    /// Last uses on their way into the store.
    writing: TaskTracker,
}

/// What a user name may open, and with which credential.
type Candidates = Vec<(Account, Credential)>;

/// A login whose local password is right.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The mailbox; that of a catch-all account has the address of the one mailbox that was opened.
    pub account: Account,
    /// Which of its credentials.
    pub credential: CredentialId,
}

/// A new password cannot be taken.
#[derive(Debug, Error)]
pub enum NewPasswordError {
    /// It would open one of two mailboxes, or hide which device it was.
    #[error("credential {} has the same user name and the same password already; choose another password", credential.0)]
    InUse {
        /// Which one.
        credential: CredentialId,
    },
    /// It could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The other passwords of the user name could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Over the given store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            hasher: Hasher::new(),
            verified: Arc::new(VerifiedPasswords::new()),
            known: Arc::default(),
            let_in: Arc::default(),
            writing: TaskTracker::new(),
        }
    }

    /// Finds the account that the credentials open among those of `providers`. An unknown user costs the same Argon2
    /// run as a wrong password; a right one costs none for an hour after its last run. Only for a run `place` is waited for,
    /// and held. Fails with `WrongCredentials`, `Disabled`, `Busy` when too many wait, or `Temporary` when the store does not answer.
    ///
    /// A user name with several credentials costs a run for each of them, so the session's fixed delay, which is longer than
    /// the twelve runs that there can be at most, is what keeps the time of one answer from telling how many there are.
    /// Guesses that wait for one another can tell.
    pub async fn verify<Place>(
        &self,
        providers: &[&str],
        credentials: &Credentials,
        place: impl Future<Output = Place>,
    ) -> Result<Verified, AuthFailure> {
        let user_name = &credentials.user_name;
        let known = self.known.or_read(&self.store, user_name.clone(), || self.candidates(user_name)).await;
        let known = known.map_err(|error| {
            tracing::error!(%error, "cannot look up a user name");
            AuthFailure::Temporary(Cause::new("Gatepost's store does not answer"))
        })?;
        let known = known.iter().flat_map(|known| known.iter());
        let candidates: Vec<_> =
            known.filter(|(account, _)| providers.contains(&account.provider.as_str())).collect();
        let found =
            self.right_one(&credentials.password, &candidates, place).await.map_err(|error| match error {
                PasswordError::Busy => AuthFailure::Busy(Cause::new("Too many logins at once, try again")),
                PasswordError::MalformedHash | PasswordError::System => {
                    tracing::error!(%error, "cannot check a password");
                    AuthFailure::Temporary(Cause::new("Gatepost cannot check passwords now"))
                }
            })?;
        // Nobody has no candidate, whatever password would give that hash.
        let (account, credential) =
            found.and_then(|position| candidates.get(position)).ok_or(AuthFailure::WrongCredentials)?;
        if account.disabled {
            return Err(AuthFailure::Disabled);
        }
        self.note_use(credential);
        Ok(Verified { account: account.clone(), credential: credential.id })
    }

    /// The hash of a new password for the user name at the provider, unless another credential there has the same two.
    pub async fn hash_new_password(
        &self,
        provider: &str,
        user_name: &str,
        password: &Secret<String>,
    ) -> Result<Secret<String>, NewPasswordError> {
        let mut others = self.store.credentials_named(user_name).await?;
        others.retain(|(account, _)| account.provider == provider);
        let hashes = others.iter().map(|(_, credential)| credential.password_hash.clone()).collect();
        let found = self.hasher.turn(others.len()).await?.matching(password, hashes).await?.0;
        if let Some((_, other)) = found.and_then(|position| others.get(position)) {
            return Err(NewPasswordError::InUse { credential: other.id });
        }
        Ok(self.hasher.hash(password).await?)
    }

    /// The credentials that a login by this user name may mean, those of the name itself first, each with the account of the
    /// one mailbox that it opens. A mailbox that has an account of its own at the provider is opened by that account alone.
    async fn candidates(&self, user_name: &str) -> Result<Option<Arc<Candidates>>, StoreError> {
        let mut found = self.store.credentials_named(user_name).await?;
        if let Some(every_mailbox) = catch_all::address_for(user_name) {
            found.extend(self.store.credentials_named(&every_mailbox).await?);
        }
        let mut candidates = Vec::new();
        for (account, credential) in found {
            let by_catch_all = catch_all::domain(&account.address).is_some();
            let Some(account) = catch_all::opened(account, &credential, user_name) else { continue };
            let own = if by_catch_all { self.store.accounts_at(&account.address).await? } else { Vec::new() };
            if !own.iter().any(|own| own.provider == account.provider) {
                candidates.push((account, credential));
            }
        }
        Ok((!candidates.is_empty()).then(|| Arc::new(candidates)))
    }

    /// Which of the candidates has the password. Whoever asks the same at the same time waits for the one run, and not for a run of its own.
    async fn right_one<Place>(
        &self,
        password: &Secret<String>,
        candidates: &[&(Account, Credential)],
        place: impl Future<Output = Place>,
    ) -> Result<Option<usize>, PasswordError> {
        let mut hashes: Vec<_> =
            candidates.iter().map(|(_, credential)| credential.password_hash.clone()).collect();
        let question = self.verified.question(password, &hashes);
        let answer = || {
            let ids = candidates.iter().map(|(_, credential)| credential.id);
            self.verified.answer(question.as_ref()?, ids, Instant::now())
        };
        if let Some(position) = answer() {
            return Ok(Some(position));
        }
        let _place = place.await;
        if let Some(position) = answer() {
            return Ok(Some(position));
        }
        let turn = self.hasher.turn(hashes.len()).await?;
        if let Some(position) = answer() {
            return Ok(Some(position));
        }
        if hashes.is_empty() {
            hashes.push(Secret::new(NOBODYS_HASH.to_owned()));
        }
        let (found, _turn) = turn.matching(password, hashes).await?;
        if let (Some((_, credential)), Some(question)) =
            (found.and_then(|position| candidates.get(position)), question)
        {
            // Before the turn goes on to the next.
            self.verified.remember(question, credential.id, Instant::now());
        }
        Ok(found)
    }

    /// Waits until every login so far is noted as the last use of its credential.
    pub async fn settled(&self) {
        self.writing.close();
        self.writing.wait().await;
        self.writing.reopen();
    }

    /// Notes that the provider let a login of the account in, beside the session, which does not wait for a disk; at most once a minute,
    /// unless somebody has committed something since: a command may have noted a refusal.
    pub fn note_login(&self, account: AccountId, protocol: Protocol) {
        let at = SystemTime::now();
        let noted = self.let_in.last_known(&self.store, &(account, protocol));
        if noted.is_some_and(|noted| says_no_more(noted, at)) {
            return;
        }
        let (store, let_in) = (self.store.clone(), Arc::clone(&self.let_in));
        self.writing.spawn(async move {
            let noted =
                let_in.or_read(&store, (account, protocol), || store.let_in_at(account, protocol)).await;
            let noted = match noted {
                Ok(Some(noted)) if says_no_more(noted, at) => return,
                Ok(_) => store.note_let_in(account, protocol, at).await,
                Err(error) => Err(error),
            };
            if let Err(error) = noted {
                tracing::warn!(%error, account = account.0, "cannot note an account's last login");
            }
        });
    }

    /// Notes that the provider refused a login of the account for good, as above.
    pub fn note_refused_login(&self, account: AccountId, protocol: Protocol, refused: RefusedLogin) {
        let (store, let_in) = (self.store.clone(), Arc::clone(&self.let_in));
        self.writing.spawn(async move {
            if let Err(error) = store.note_refused_login(account, protocol, &refused).await {
                tracing::warn!(%error, account = account.0, "cannot note that an account was refused");
            }
            // The next login that is let in may come before anybody asks whether the store has changed, and has to end this.
            let_in.forget(&(account, protocol));
        });
    }

    /// Beside the login, which does not wait for a disk; at most once a minute for each credential.
    fn note_use(&self, credential: &Credential) {
        let now = SystemTime::now();
        let lately = minute(now)..=now + NOTED_WITHIN;
        if credential.last_used_at.is_some_and(|last| lately.contains(&last)) {
            return;
        }
        let (store, id) = (self.store.clone(), credential.id);
        self.writing.spawn(async move {
            if let Err(error) = store.note_use(id, now).await {
                tracing::warn!(%error, credential = id.0, "cannot note a credential's last use");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;
    use crate::store::accounts::NewAccount;
    use crate::store::credentials::{MAX_FOR_ALL_MAILBOXES, MAX_PER_USER_NAME, NewCredential};
    use crate::store::tests::open;

    fn login(user_name: &str, password: &str) -> Credentials {
        Credentials { user_name: user_name.to_owned(), password: Secret::new(password.to_owned()) }
    }

    async fn account(accounts: &Accounts, address: &str, provider: &str) -> AccountId {
        let new = NewAccount {
            address: address.to_owned(),
            provider: provider.to_owned(),
            ..NewAccount::default()
        };
        accounts.store.add_account(&new, None).await.unwrap().0
    }

    async fn credential(
        accounts: &Accounts,
        account: AccountId,
        user_name: &str,
        password: &str,
    ) -> CredentialId {
        let password_hash = accounts.hasher.hash(&Secret::new(password.to_owned())).await.unwrap();
        let new =
            NewCredential { user_name: user_name.to_owned(), mailbox: None, password_hash, label: None };
        accounts.store.add_credential(account, &new).await.unwrap()
    }

    /// A credential of a catch-all account.
    async fn one_mailbox(
        accounts: &Accounts,
        account: AccountId,
        user_name: &str,
        mailbox: &str,
        password: &str,
    ) {
        let password_hash = accounts.hasher.hash(&Secret::new(password.to_owned())).await.unwrap();
        let (user_name, mailbox) = (user_name.to_owned(), Some(mailbox.to_owned()));
        let new = NewCredential { user_name, mailbox, password_hash, label: None };
        accounts.store.add_credential(account, &new).await.unwrap();
    }

    #[tokio::test]
    async fn a_login_opens_the_account_of_its_own_provider_alone() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&accounts, "ann@example.com", "contoso").await;
        let bob = account(&accounts, "bob@example.com", "fabrikam").await;
        let anns = credential(&accounts, ann, "Scanner", "one").await;
        let bobs = credential(&accounts, bob, "scanner", "two").await;
        for (providers, user_name, password, expected) in [
            (&["contoso"][..], "scanner", "one", Ok((ann, anns))),
            (&["contoso"], "SCANNER", "one", Ok((ann, anns))),
            (&["fabrikam"], "scanner", "two", Ok((bob, bobs))),
            (&["contoso", "fabrikam"], "scanner", "two", Ok((bob, bobs))),
            (&["contoso"], "scanner", "two", Err(AuthFailure::WrongCredentials)),
            (&["contoso"], "scanner", "One", Err(AuthFailure::WrongCredentials)),
            (&["contoso"], "ann@example.com", "one", Err(AuthFailure::WrongCredentials)),
            (&["contoso"], "nobody", "one", Err(AuthFailure::WrongCredentials)),
            (&["elsewhere"], "scanner", "one", Err(AuthFailure::WrongCredentials)),
            (&[], "scanner", "one", Err(AuthFailure::WrongCredentials)),
            (&["contoso"], "", "", Err(AuthFailure::WrongCredentials)),
        ] {
            let verified = accounts.verify(providers, &login(user_name, password), ready(())).await;
            let verified = verified.map(|verified| (verified.account.id, verified.credential));
            assert_eq!(verified, expected, "{providers:?} {user_name} {password}");
        }
    }

    #[tokio::test]
    async fn a_catch_all_account_opens_the_mailbox_that_its_credential_says_or_that_is_typed() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let everybody = account(&accounts, "*@Contoso.com", "contoso").await;
        one_mailbox(&accounts, everybody, "scan@contoso.com", "scan@contoso.com", "one").await;
        one_mailbox(&accounts, everybody, "erp", "ERP@contoso.com", "two").await;
        credential(&accounts, everybody, "*@Contoso.com", "all").await;
        let elsewhere = account(&accounts, "*@contoso.com", "fabrikam").await;
        credential(&accounts, elsewhere, "*@contoso.com", "fab").await;
        let ann = account(&accounts, "ann@contoso.com", "contoso").await;
        credential(&accounts, ann, "ann@contoso.com", "ann").await;
        let opened = async |providers: &[&str], user_name: &str, password: &str| {
            let verified = accounts.verify(providers, &login(user_name, password), ready(())).await;
            verified.map(|verified| (verified.account.address, verified.account.provider))
        };
        let (contoso, both) = (&["contoso"][..], &["contoso", "fabrikam"][..]);
        for (providers, user_name, password, expected) in [
            (contoso, "scan@contoso.com", "one", Some(("scan@contoso.com", "contoso"))),
            (contoso, "SCAN@Contoso.com", "one", Some(("scan@contoso.com", "contoso"))),
            (contoso, "scan@contoso.com", "all", Some(("scan@contoso.com", "contoso"))),
            (contoso, "scan@contoso.com", "two", None),
            (contoso, "Erp", "two", Some(("ERP@contoso.com", "contoso"))),
            (contoso, "erp", "all", None),
            (contoso, "erp@contoso.com", "two", None),
            (contoso, "Anyone@CONTOSO.com", "all", Some(("anyone@contoso.com", "contoso"))),
            (contoso, "anyone@contoso.com", "fab", None),
            (both, "anyone@contoso.com", "fab", Some(("anyone@contoso.com", "fabrikam"))),
            // A mailbox that has an account of its own at the provider.
            (contoso, "ann@contoso.com", "ann", Some(("ann@contoso.com", "contoso"))),
            (contoso, "ann@contoso.com", "all", None),
            (contoso, "ANN@contoso.com", "all", None),
            (both, "ann@contoso.com", "fab", Some(("ann@contoso.com", "fabrikam"))),
            // What is no mailbox of the domain.
            (contoso, "*@contoso.com", "all", None),
            (contoso, "*@Contoso.com", "all", None),
            (contoso, "a*@contoso.com", "all", None),
            (contoso, "a@sub.contoso.com", "all", None),
            (contoso, "a@xcontoso.com", "all", None),
            (contoso, "a@evil.example@contoso.com", "all", None),
            (contoso, "a\u{1}@contoso.com", "all", None),
            (contoso, "a\0user=ann@contoso.com", "all", None),
            (contoso, "a b@contoso.com", "all", None),
            (contoso, "@contoso.com", "all", None),
            (contoso, "contoso.com", "all", None),
            (contoso, "anyone", "all", None),
        ] {
            let expected = expected.map(|(mailbox, provider)| (mailbox.to_owned(), provider.to_owned()));
            let expected = expected.ok_or(AuthFailure::WrongCredentials);
            assert_eq!(opened(providers, user_name, password).await, expected, "{user_name:?} {password}");
        }
        // Its own account takes a mailbox over, from a device of its own too.
        account(&accounts, "Scan@contoso.com", "contoso").await;
        for password in ["one", "all"] {
            let refused = opened(contoso, "scan@contoso.com", password).await;
            assert_eq!(refused, Err(AuthFailure::WrongCredentials), "{password}");
        }
        // In whatever way its domain is written.
        let books = account(&accounts, "*@bücher.example", "contoso").await;
        credential(&accounts, books, "*@bücher.example", "books").await;
        account(&accounts, "scan@bücher.example", "contoso").await;
        for (user_name, is_let_in) in [
            ("fax@bücher.example", true),
            ("fax@xn--bcher-kva.example", true),
            ("scan@bücher.example", false),
            ("scan@xn--bcher-kva.example", false),
        ] {
            assert_eq!(opened(contoso, user_name, "books").await.is_ok(), is_let_in, "{user_name}");
        }
        assert!(accounts.store.set_disabled(everybody, true).await.unwrap());
        assert_eq!(opened(contoso, "anyone@contoso.com", "all").await, Err(AuthFailure::Disabled));
        assert_eq!(opened(contoso, "anyone@contoso.com", "wrong").await, Err(AuthFailure::WrongCredentials));
        assert!(opened(contoso, "ann@contoso.com", "ann").await.is_ok());
    }

    #[tokio::test]
    async fn no_login_costs_more_than_twelve_runs_and_those_of_the_name_itself_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let everybody = account(&accounts, "*@contoso.com", "contoso").await;
        let new = |user_name: &str, mailbox: Option<&str>| NewCredential {
            user_name: user_name.to_owned(),
            mailbox: mailbox.map(str::to_owned),
            password_hash: Secret::new(NOBODYS_HASH.to_owned()),
            label: None,
        };
        for number in 0..20 {
            let every = accounts.store.add_credential(everybody, &new("*@contoso.com", None)).await;
            assert_eq!(every.is_ok(), number < MAX_FOR_ALL_MAILBOXES);
            let one = new("scan@contoso.com", Some("scan@contoso.com"));
            let one = accounts.store.add_credential(everybody, &one).await;
            assert_eq!(one.is_ok(), number < MAX_PER_USER_NAME);
        }
        let candidates = accounts.candidates("scan@contoso.com").await.unwrap().unwrap();
        let own: Vec<_> = candidates.iter().map(|(_, credential)| credential.mailbox.is_some()).collect();
        assert_eq!(own, [[true; 8].as_slice(), &[false; 4]].concat());
    }

    #[tokio::test]
    async fn eight_devices_share_a_user_name_and_each_is_revoked_alone() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&accounts, "ann@example.com", "contoso").await;
        let mut ids = Vec::new();
        for number in 0..MAX_PER_USER_NAME {
            ids.push(credential(&accounts, ann, "ann", &format!("password {number}")).await);
        }
        let ninth = NewCredential {
            user_name: "ANN".to_owned(),
            mailbox: None,
            password_hash: Secret::new(NOBODYS_HASH.to_owned()),
            label: None,
        };
        let refused = accounts.store.add_credential(ann, &ninth).await.unwrap_err();
        assert!(matches!(refused, StoreError::TooManyCredentials { .. }), "{refused}");
        for (number, id) in ids.iter().enumerate() {
            let login = login("ann", &format!("password {number}"));
            assert_eq!(accounts.verify(&["contoso"], &login, ready(())).await.unwrap().credential, *id);
            assert!(accounts.store.revoke_credential(*id).await.unwrap());
            assert_eq!(
                accounts.verify(&["contoso"], &login, ready(())).await.unwrap_err(),
                AuthFailure::WrongCredentials
            );
        }
        accounts.store.add_credential(ann, &ninth).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_right_password_hears_that_the_account_is_disabled() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&accounts, "ann@example.com", "contoso").await;
        credential(&accounts, ann, "ann", "right").await;
        assert!(accounts.store.set_disabled(ann, true).await.unwrap());
        let outcome = async |password| {
            accounts.verify(&["contoso"], &login("ann", password), ready(())).await.unwrap_err()
        };
        assert_eq!(outcome("right").await, AuthFailure::Disabled);
        assert_eq!(outcome("wrong").await, AuthFailure::WrongCredentials);
        assert!(accounts.store.usable_credentials().await.unwrap().is_empty());
    }

    /// Whether the login is let in, and how many Argon2 runs it costs.
    async fn cost(accounts: &Accounts, user_name: &str, password: &str) -> (bool, usize) {
        let before = accounts.hasher.runs();
        let verified = accounts.verify(&["contoso"], &login(user_name, password), ready(())).await;
        (verified.is_ok(), accounts.hasher.runs() - before)
    }

    #[tokio::test]
    async fn a_right_password_pays_once_an_hour_and_a_wrong_one_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&accounts, "ann@example.com", "contoso").await;
        credential(&accounts, ann, "ann", "first").await;
        credential(&accounts, ann, "ann", "second").await;
        for (user_name, password, expected) in [
            ("ann", "second", (true, 2)),
            ("ann", "second", (true, 0)),
            ("ANN", "second", (true, 0)),
            ("ann", "wrong", (false, 2)),
            ("ann", "wrong", (false, 2)),
            ("ann", "first", (true, 1)),
            ("ann", "second", (true, 0)),
            ("ann", "first", (true, 0)),
            ("ann", "Second", (false, 2)),
            ("nobody", "second", (false, 1)),
            ("nobody", "second", (false, 1)),
        ] {
            assert_eq!(cost(&accounts, user_name, password).await, expected, "{user_name} {password}");
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_hours(1)).await;
        tokio::time::resume();
        assert_eq!(cost(&accounts, "ann", "first").await, (true, 1));
        assert_eq!(cost(&Accounts::new(accounts.store.clone()), "ann", "first").await, (true, 1));
    }

    #[tokio::test]
    async fn many_first_logins_at_once_pay_one_run_and_a_known_one_waits_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&accounts, "ann@example.com", "contoso").await;
        credential(&accounts, ann, "ann", "right").await;
        let before = accounts.hasher.runs();
        let mut logins = tokio::task::JoinSet::new();
        for _ in 0..256 {
            let accounts = accounts.clone();
            logins.spawn(async move {
                accounts.verify(&["contoso"], &login("ann", "right"), ready(())).await.is_ok()
            });
        }
        assert_eq!(logins.join_all().await, [true; 256]);
        assert_eq!(accounts.hasher.runs() - before, 1);
        // Neither for a place among those of its address nor for its turn.
        let _turn = accounts.hasher.turn(1).await.unwrap();
        let known = accounts.verify(&["contoso"], &login("ann", "right"), pending::<()>()).await;
        assert_eq!(known.unwrap().account.id, ann);
    }

    #[tokio::test]
    async fn what_another_process_commits_counts_at_the_next_login() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let elsewhere = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&elsewhere, "ann@contoso.com", "contoso").await;
        let first = credential(&elsewhere, ann, "ann@contoso.com", "right").await;
        let every_mailbox = account(&elsewhere, "*@contoso.com", "contoso").await;
        credential(&elsewhere, every_mailbox, "*@contoso.com", "all").await;
        let cost = async |password| cost(&accounts, "ann@contoso.com", password).await;
        let known = async |expected: usize| {
            assert_eq!(cost("right").await, (true, expected));
            assert_eq!(cost("right").await, (true, 0));
        };
        known(1).await;
        assert_eq!(cost("all").await, (false, 1), "the mailbox has an account of its own");

        elsewhere.store.rotate_key().await.unwrap();
        known(0).await;
        assert!(elsewhere.store.set_disabled(ann, true).await.unwrap());
        let login = login("ann@contoso.com", "right");
        let disabled = accounts.verify(&["contoso"], &login, ready(())).await.unwrap_err();
        assert_eq!(disabled, AuthFailure::Disabled);
        assert_eq!(cost("wrong").await, (false, 1), "which a wrong password does not hear");
        assert!(elsewhere.store.set_disabled(ann, false).await.unwrap());
        known(0).await;

        // Another password in place of the first, then the first one again, with another hash.
        assert!(elsewhere.store.revoke_credential(first).await.unwrap());
        assert_eq!(cost("right").await, (false, 1));
        let second = credential(&elsewhere, ann, "ann@contoso.com", "new").await;
        assert_eq!(cost("right").await, (false, 1));
        assert_eq!(cost("new").await, (true, 1));
        assert!(elsewhere.store.revoke_credential(second).await.unwrap());
        credential(&elsewhere, ann, "ann@contoso.com", "right").await;
        known(1).await;
        // One more beside it.
        credential(&elsewhere, ann, "ann@contoso.com", "another").await;
        known(1).await;

        assert!(elsewhere.store.remove_account(ann).await.unwrap());
        assert_eq!(cost("right").await, (false, 1));
        assert_eq!(cost("all").await, (true, 1), "the mailbox is one of the domain again");
        assert_eq!(cost("all").await, (true, 0));
    }

    #[tokio::test]
    async fn a_password_is_taken_once_per_user_name_and_provider() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&accounts, "ann@example.com", "contoso").await;
        let anns = credential(&accounts, ann, "scanner", "same").await;
        let new = async |provider, user_name, password: &str| {
            accounts.hash_new_password(provider, user_name, &Secret::new(password.to_owned())).await
        };
        let refused = new("contoso", "Scanner", "same").await.unwrap_err();
        assert!(matches!(refused, NewPasswordError::InUse { credential } if credential == anns), "{refused}");
        new("contoso", "scanner", "other").await.unwrap();
        new("contoso", "printer", "same").await.unwrap();
        new("fabrikam", "scanner", "same").await.unwrap();
    }

    #[tokio::test]
    async fn the_last_use_is_noted_to_the_minute_and_only_for_the_right_password() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&accounts, "ann@example.com", "contoso").await;
        credential(&accounts, ann, "ann", "right").await;
        let last_use = async || {
            accounts.settled().await;
            accounts.store.credentials(None).await.unwrap().first().unwrap().last_used_at
        };
        accounts.verify(&["contoso"], &login("ann", "wrong"), ready(())).await.unwrap_err();
        assert_eq!(last_use().await, None);
        let before = minute(SystemTime::now());
        accounts.verify(&["contoso"], &login("ann", "right"), ready(())).await.unwrap();
        let noted = last_use().await.unwrap();
        assert_eq!(noted, minute(noted));
        assert!((before..=SystemTime::now()).contains(&noted));
    }

    #[tokio::test]
    async fn a_login_that_is_let_in_right_after_a_refusal_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        let ann = account(&accounts, "ann@example.com", "contoso").await;
        let let_in = async || {
            accounts.note_login(ann, Protocol::Imap);
            accounts.settled().await;
        };
        let_in().await;
        // Somebody asks whether the store has changed, and keeps what there is of this.
        accounts.store.data_version().await.unwrap();
        let_in().await;
        let is_refused = async || {
            let logins = accounts.store.upstream_logins().await.unwrap();
            logins.values().flatten().any(|login| login.refused.is_some())
        };
        // Which of two is later is known to the millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let refused = RefusedLogin { at: SystemTime::now(), said: "NO".to_owned(), diagnosis: None };
        accounts.note_refused_login(ann, Protocol::Imap, refused);
        accounts.settled().await;
        assert!(is_refused().await);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let_in().await;
        assert!(!is_refused().await);
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_no_wrong_password() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(open(folder.path()).await.unwrap());
        accounts.store.close().await;
        let failure = accounts.verify(&["contoso"], &login("ann", "right"), ready(())).await.unwrap_err();
        assert!(matches!(failure, AuthFailure::Temporary(_)), "{failure:?}");
    }
}
