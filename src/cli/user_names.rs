//! User names that a listener could not tell apart: `check` tells them, `run` does not start with them, and a command that
//! would bring one refuses.

use super::{Exit, Failure};
use crate::address::every_mailbox_of;
use crate::config::{Complaint, Config, Listener, lint};
use crate::store::{Store, StoreError};

/// Refuses a store with which a listener could not tell which mailbox is meant.
pub(super) async fn refuse_ambiguous(config: &Config, store: &Store) -> Result<(), Failure> {
    let complaints = ambiguous(config, store).await?;
    if complaints.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    Err(Failure::new(
        Exit::Configuration,
        format!("user names would be ambiguous (gatepost credential list shows them)\n{}", lines.join("\n")),
    ))
}

/// What is wrong with the user names that there are.
pub(super) async fn ambiguous(config: &Config, store: &Store) -> Result<Vec<Complaint>, StoreError> {
    // Where each serves one provider, nobody can be taken for somebody else's, whatever names there are.
    let serves_several = |listener: &Listener| {
        config.providers.values().filter(|provider| listener.serves(provider)).count() > 1
    };
    if !config.listeners.iter().any(serves_several) {
        return Ok(Vec::new());
    }
    Ok(lint::ambiguous_user_names(config, &store.user_names_in_doubt().await?))
}

/// Refuses a user name for an account of this provider with which Gatepost would not start any more.
pub(super) async fn refuse_new(
    config: &Config,
    store: &Store,
    provider: &str,
    user_name: &str,
) -> Result<(), Failure> {
    let mut others = store.providers_of_user_name(user_name).await?;
    others.retain(|other| other != provider);
    let names = others.iter().map(String::as_str).chain([provider]);
    let same: Vec<_> = names.map(|provider| (user_name.to_owned(), provider.to_owned())).collect();
    let Some(Complaint { key, .. }) = lint::ambiguous_user_names(config, &same).into_iter().next() else {
        return Ok(());
    };
    // Who opens every mailbox of a domain cannot be called otherwise.
    let choice = if every_mailbox_of(user_name).is_some() {
        ""
    } else {
        "choose another one with --user-name NAME, or "
    };
    Err(Failure::new(
        Exit::Failed,
        format!(
            "the user name {user_name} exists for an account of {} already, and {key} serves both providers: {choice}\
             write `provider:` at that listener in {}",
            others.join(" and "),
            config.path.display()
        ),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use gatepost_protocol::secret::Secret;

    use super::*;
    use crate::store::accounts::NewAccount;
    use crate::store::credentials::NewCredential;
    use crate::store::tests::open;

    const PROVIDERS: &str = "providers: { a: { preset: microsoft365, client_id: x }, b: { preset: microsoft365, client_id: y } }\n";

    async fn add(store: &Store, provider: &str, user_name: &str) {
        let account = NewAccount {
            address: format!("{}@example.com", user_name.len()),
            provider: provider.to_owned(),
            ..NewAccount::default()
        };
        let password_hash = Secret::new(String::new());
        let credential =
            NewCredential { user_name: user_name.to_owned(), mailbox: None, password_hash, label: None };
        store.add_account(&account, Some(&credential)).await.unwrap();
    }

    #[tokio::test]
    async fn a_user_name_at_two_providers_needs_two_listeners() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let config = |listeners: &str| {
            let text = format!("{PROVIDERS}state: state\nlisteners: {listeners}");
            Config::parse(Path::new("gatepost.yaml"), &text, &|_| None).unwrap()
        };
        let shared = config("[{ protocol: smtp }]");
        let apart =
            config("[{ protocol: smtp, provider: a }, { protocol: smtp, address: 127.0.0.2, provider: b }]");
        add(&store, "a", "Scanner").await;
        add(&store, "a", "fax@bücher.example").await;
        refuse_new(&shared, &store, "a", "scanner").await.unwrap();
        refuse_new(&shared, &store, "b", "copier").await.unwrap();
        refuse_new(&apart, &store, "b", "scanner").await.unwrap();
        let refused = refuse_new(&shared, &store, "b", "SCANNER").await.unwrap_err();
        assert!(
            refused.message.contains("SCANNER exists for an account of a already"),
            "{}",
            refused.message
        );
        let refused = refuse_new(&shared, &store, "b", "Fax@xn--bcher-kva.example").await.unwrap_err();
        assert!(refused.message.contains("for an account of a already"), "{}", refused.message);
        refuse_new(&shared, &store, "b", "fax@bucher.example").await.unwrap();
        refuse_ambiguous(&shared, &store).await.unwrap();
        add(&store, "b", "Scanner").await;
        refuse_ambiguous(&apart, &store).await.unwrap();
        let refused = refuse_ambiguous(&shared, &store).await.unwrap_err();
        assert_eq!(refused.exit, Exit::Configuration);
        assert!(
            refused.message.contains("gatepost.yaml: listeners[0]: error: the user name `scanner`"),
            "{}",
            refused.message
        );
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        add(&store, "a", "fax@bücher.example").await;
        refuse_ambiguous(&shared, &store).await.unwrap();
        add(&store, "b", "fax@xn--bcher-kva.example").await;
        let refused = refuse_ambiguous(&shared, &store).await.unwrap_err();
        assert!(refused.message.contains("the user name `fax@bücher.example`"), "{}", refused.message);
        // Nothing is asked where no listener serves two providers; else a store that is closed would say so.
        store.close().await;
        refuse_ambiguous(&apart, &store).await.unwrap();
        assert_eq!(refuse_ambiguous(&shared, &store).await.unwrap_err().exit, Exit::State);
    }
}
