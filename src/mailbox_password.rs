//! Passwords for mailboxes whose provider has no OAuth: what `oauth` is for tokens. Nothing can renew a password, so one that a
//! service refused is not sent to it again for a while: a device that retries every ten seconds would have the provider lock
//! the mailbox. A new password, or another user name, is tried at once, and by one login alone: those beside it wait for what
//! the service says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gatepost_protocol::Protocol;
use gatepost_protocol::failure::{AuthFailure, Cause};
use thiserror::Error;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::account::{Account, AccountId};
use crate::diagnosis::{self, Diagnosis};
use crate::session::upstream::UpstreamError;
use crate::store::mailbox_passwords::MailboxPassword;
use crate::store::{Store, StoreError};

/// For how long a service that refused a password is not asked again.
const REFUSAL_REMEMBERED: Duration = Duration::from_mins(10);

/// The passwords, and who refused one lately.
#[derive(Debug)]
pub struct MailboxPasswords {
    store: Store,
    /// At most one entry per mailbox and service.
    refusals: Mutex<HashMap<(AccountId, Protocol), Refusal>>,
    /// At most one entry per mailbox and service.
    trials: Mutex<HashMap<(AccountId, Protocol), Trial>>,
}

/// Whether a service has taken a password.
#[derive(Debug, Default)]
struct Trial {
    /// The user name and the version that it took last.
    taken: Option<(String, i64)>,
    /// Held by whoever tries one that it has not taken yet.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Others wait while this is held and the password has not been taken yet: hold it until the service has answered.
#[derive(Debug)]
#[must_use]
pub struct Turn(#[allow(dead_code, reason = "it is there to be dropped")] Option<OwnedMutexGuard<()>>);

/// A service's no to a user name and a password.
#[derive(Clone, Debug)]
struct Refusal {
    user_name: String,
    version: i64,
    failure: AuthFailure,
    diagnosis: Option<&'static Diagnosis>,
    said: String,
    at: Instant,
}

/// Why there is no password to log in with. The text is for the log and for whoever runs a command.
#[derive(Debug, Error)]
pub enum MailboxPasswordError {
    /// Nobody has typed one yet.
    #[error("{address}: not connected yet; run: gatepost connect {address}")]
    NotConnected {
        /// The account.
        address: String,
    },
    /// The service refused this very password minutes ago, and was not asked again.
    #[error(
        "not tried again so soon, or the provider may lock the mailbox: {} s ago it said: {said}; if the password is \
         another one now, run: gatepost connect {address}", since.as_secs()
    )]
    Refused {
        /// The account.
        address: String,
        /// What the client was told, and is told again.
        failure: AuthFailure,
        /// What is known of it.
        diagnosis: Option<&'static Diagnosis>,
        /// What the provider said.
        said: String,
        /// How long ago.
        since: Duration,
    },
    /// The store does not answer.
    #[error("{address}: {error}")]
    Store {
        /// The account.
        address: String,
        /// Why.
        error: StoreError,
    },
}

impl From<&MailboxPasswordError> for AuthFailure {
    fn from(error: &MailboxPasswordError) -> Self {
        let row = error.diagnosis().map(Diagnosis::cause_for_client);
        match error {
            MailboxPasswordError::NotConnected { .. } => {
                Self::NeedsAdmin(row.unwrap_or_else(|| Cause::new("account not connected; ask admin")))
            }
            MailboxPasswordError::Refused { failure, .. } => failure.clone(),
            MailboxPasswordError::Store { .. } => {
                Self::Temporary(row.unwrap_or_else(|| Cause::new("Gatepost's store fails; ask admin")))
            }
        }
    }
}

impl MailboxPasswordError {
    /// What is known of it.
    pub fn diagnosis(&self) -> Option<&'static Diagnosis> {
        match self {
            Self::NotConnected { .. } => diagnosis::by_id("G20"),
            Self::Refused { diagnosis, .. } => *diagnosis,
            Self::Store { .. } => diagnosis::by_id("G34"),
        }
    }
}

impl MailboxPasswords {
    /// Over the given store.
    pub fn new(store: Store) -> Self {
        Self { store, refusals: Mutex::default(), trials: Mutex::default() }
    }

    /// The account's password, whoever refused it.
    pub async fn stored(&self, account: &Account) -> Result<MailboxPassword, MailboxPasswordError> {
        let address = || account.address.clone();
        let stored = self.store.mailbox_password(account.id).await;
        let stored = stored.map_err(|error| MailboxPasswordError::Store { address: address(), error })?;
        stored.ok_or_else(|| MailboxPasswordError::NotConnected { address: address() })
    }

    /// The account's password, unless this service refused it minutes ago. Waits while another login tries it for the first time.
    pub async fn usable(
        &self,
        account: &Account,
        service: Protocol,
    ) -> Result<(MailboxPassword, Turn), MailboxPasswordError> {
        let password = self.not_refused(account, service).await?;
        let Some(turn) = self.turn(account, service, password.version) else {
            return Ok((password, Turn(None)));
        };
        let turn = turn.lock_owned().await;
        // The one before may have heard a no, or a new password may be there.
        let password = self.not_refused(account, service).await?;
        let is_taken = self.turn(account, service, password.version).is_none();
        Ok((password, Turn(Some(turn).filter(|_| !is_taken))))
    }

    /// What to wait for before that version is tried; `None` where the service has taken it.
    fn turn(
        &self,
        account: &Account,
        service: Protocol,
        version: i64,
    ) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let mut trials = self.trials();
        let trial = trials.entry((account.id, service)).or_default();
        let is_taken = trial
            .taken
            .as_ref()
            .is_some_and(|(name, taken)| *taken == version && name == account.upstream_user_name(service));
        (!is_taken).then(|| Arc::clone(&trial.turn))
    }

    async fn not_refused(
        &self,
        account: &Account,
        service: Protocol,
    ) -> Result<MailboxPassword, MailboxPasswordError> {
        let password = self.stored(account).await?;
        let refusal = self.refusals().get(&(account.id, service)).cloned();
        match refusal {
            Some(Refusal { user_name, version, failure, diagnosis, said, at })
                if version == password.version
                    && user_name == account.upstream_user_name(service)
                    && at.elapsed() < REFUSAL_REMEMBERED =>
            {
                let (address, since) = (account.address.clone(), at.elapsed());
                Err(MailboxPasswordError::Refused { address, failure, diagnosis, said, since })
            }
            _ => Ok(password),
        }
    }

    /// Remembers that this service did not take that version, and what it said. A service that is merely switched off says
    /// nothing about the password; nor does one alone, while another takes the same one: then how the account stands stays.
    pub async fn refused(&self, account: &Account, service: Protocol, version: i64, error: &UpstreamError) {
        let (failure, said) = (error.failure_with_password(service), error.to_string());
        let diagnosis = error.diagnosis_with_password(service);
        if error.is_wrong_secret() && !self.is_taken_elsewhere(account, service, version) {
            self.note(account, version, Some(&said)).await;
        }
        let user_name = account.upstream_user_name(service).to_owned();
        let refusal = Refusal { user_name, version, failure, diagnosis, said, at: Instant::now() };
        let mut refusals = self.refusals();
        refusals.retain(|_, refusal| refusal.at.elapsed() < REFUSAL_REMEMBERED);
        refusals.insert((account.id, service), refusal);
    }

    /// Whether another service took that version last. What this one took before counts no more.
    fn is_taken_elsewhere(&self, account: &Account, service: Protocol, version: i64) -> bool {
        let mut trials = self.trials();
        if let Some(trial) = trials.get_mut(&(account.id, service)) {
            trial.taken = None;
        }
        let taken = |trial: &Trial| trial.taken.as_ref().is_some_and(|(_, taken)| *taken == version);
        trials.iter().any(|((id, _), trial)| *id == account.id && taken(trial))
    }

    /// A service took that version; `was_refused` says that the store knows otherwise.
    pub async fn taken(&self, account: &Account, service: Protocol, version: i64, was_refused: bool) {
        let taken = (account.upstream_user_name(service).to_owned(), version);
        self.trials().entry((account.id, service)).or_default().taken = Some(taken);
        if was_refused {
            self.note(account, version, None).await;
        }
    }

    /// For whoever asks how the account stands; the login itself needs no note.
    async fn note(&self, account: &Account, version: i64, refused: Option<&str>) {
        let noted = self.store.note_password_verdict(account.id, version, refused).await;
        if let Err(error) = noted {
            tracing::warn!(%error, account = account.address, "cannot note what the provider said about a password");
        }
    }

    fn trials(&self) -> MutexGuard<'_, HashMap<(AccountId, Protocol), Trial>> {
        // As below.
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> MutexGuard<'_, HashMap<(AccountId, Protocol), Refusal>> {
        // Nothing under this lock can leave the map half changed.
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use gatepost_protocol::failure::{Refusal as Answer, RefusalKind};
    use gatepost_protocol::secret::Secret;
    use tokio::time::advance;

    use super::*;
    use crate::store::accounts::NewAccount;

    async fn account(store: &Store) -> Account {
        let account = NewAccount {
            address: "ann@example.com".to_owned(),
            provider: "post".to_owned(),
            ..NewAccount::default()
        };
        store.add_account(&account, None).await.unwrap();
        store.accounts().await.unwrap().remove(0)
    }

    fn answer(text: &str) -> UpstreamError {
        UpstreamError::Refused(Answer {
            kind: RefusalKind::Rejected,
            text: text.to_owned(),
            challenge: None,
            state: "AUTH",
            after_secret: true,
        })
    }

    /// Who is asked, and what it says against the password; `None` where it takes it.
    type Dialogue<'a> = [(Protocol, Option<&'a str>)];

    /// What the store says against the password in the end.
    async fn noted_after(dialogue: &Dialogue<'_>) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let account = account(&store).await;
        let passwords = MailboxPasswords::new(store.clone());
        store.replace_mailbox_password(account.id, &Secret::new("it".to_owned())).await.unwrap();
        for (service, said) in dialogue {
            let password = passwords.stored(&account).await.unwrap();
            match said {
                Some(said) => passwords.refused(&account, *service, password.version, &answer(said)).await,
                None => passwords.taken(&account, *service, password.version, password.refused).await,
            }
            let usable = passwords.usable(&account, *service).await;
            assert_eq!(usable.is_err(), said.is_some(), "{service}: {said:?}");
        }
        store.password_standings().await.unwrap().remove(&account.id).unwrap()
    }

    #[tokio::test]
    async fn an_account_is_refused_where_the_password_is_and_no_service_takes_it() {
        let off = Some("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled");
        let wrong = Some("535 5.7.8 no");
        let (smtp, pop3) = (Protocol::Smtp, Protocol::Pop3);
        let cases: [(&str, &Dialogue<'_>, bool); 8] = [
            ("wrong", &[(smtp, wrong)], true),
            ("switched off", &[(smtp, off)], false),
            ("switched off, the other works", &[(pop3, None), (smtp, off), (pop3, None)], false),
            ("the other works", &[(pop3, None), (smtp, wrong)], false),
            ("the other works, later", &[(smtp, wrong), (pop3, None)], false),
            ("and it comes and goes no more", &[(smtp, wrong), (pop3, None), (smtp, wrong)], false),
            ("it worked here", &[(smtp, None), (smtp, wrong)], true),
            ("it worked everywhere", &[(smtp, None), (pop3, None), (smtp, wrong), (pop3, wrong)], true),
        ];
        for (case, dialogue, is_refused) in cases {
            assert_eq!(noted_after(dialogue).await.is_some(), is_refused, "{case}");
        }
    }

    #[tokio::test]
    async fn a_password_that_nobody_took_yet_is_tried_by_one_login_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let account = account(&store).await;
        let passwords = MailboxPasswords::new(store.clone());
        let usable = || passwords.usable(&account, Protocol::Smtp);
        store.replace_mailbox_password(account.id, &Secret::new("old".to_owned())).await.unwrap();
        let (password, turn) = usable().await.unwrap();
        let refused = async {
            passwords.refused(&account, Protocol::Smtp, password.version, &answer("535 5.7.8 no")).await;
            drop(turn);
        };
        let (second, third, ()) = tokio::join!(usable(), usable(), refused);
        assert!(second.is_err() && third.is_err(), "they heard of the refusal");

        store.replace_mailbox_password(account.id, &Secret::new("new".to_owned())).await.unwrap();
        let (password, turn) = usable().await.unwrap();
        let taken = async {
            passwords.taken(&account, Protocol::Smtp, password.version, false).await;
            drop(turn);
        };
        let (second, third, ()) = tokio::join!(usable(), usable(), taken);
        // Both are held at the same time: a password that works keeps nobody waiting.
        let _both = (second.unwrap(), third.unwrap());
        assert_eq!(usable().await.unwrap().0.secret.expose(), "new");
    }

    #[tokio::test]
    async fn a_refused_password_is_not_tried_again_for_ten_minutes_unless_it_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut account = account(&store).await;
        let passwords = MailboxPasswords::new(store.clone());
        let missing = passwords.usable(&account, Protocol::Smtp).await.unwrap_err();
        assert!(missing.to_string().ends_with("run: gatepost connect ann@example.com"), "{missing}");
        store.replace_mailbox_password(account.id, &Secret::new("old".to_owned())).await.unwrap();
        let version = passwords.usable(&account, Protocol::Smtp).await.unwrap().0.version;

        // The store works in threads of its own, so time stands still only where it is asked for the rest.
        tokio::time::pause();
        passwords.refused(&account, Protocol::Smtp, version, &answer("535 5.7.8 no")).await;
        let minutes = |minutes: u64| advance(Duration::from_mins(minutes));
        minutes(9).await;
        tokio::time::resume();
        let refused = passwords.usable(&account, Protocol::Smtp).await.unwrap_err();
        let told = Cause::new("stored password wrong; admin runs gatepost connect (G19)");
        assert_eq!(AuthFailure::from(&refused), AuthFailure::NeedsAdmin(told));
        assert!(refused.to_string().contains("535 5.7.8 no"), "{refused}");
        assert!(passwords.usable(&account, Protocol::Imap).await.is_ok(), "another service may take it");
        account.smtp_user_name = Some("ann".to_owned());
        assert!(passwords.usable(&account, Protocol::Smtp).await.is_ok(), "another user name");
        account.smtp_user_name = None;
        tokio::time::pause();
        minutes(1).await;
        tokio::time::resume();
        assert!(passwords.usable(&account, Protocol::Smtp).await.is_ok());

        passwords.refused(&account, Protocol::Smtp, version, &answer("535 5.7.8 no")).await;
        assert!(passwords.usable(&account, Protocol::Smtp).await.is_err());
        store.replace_mailbox_password(account.id, &Secret::new("new".to_owned())).await.unwrap();
        let (password, _turn) = passwords.usable(&account, Protocol::Smtp).await.unwrap();
        assert_eq!(password.secret.expose(), "new");
    }
}
