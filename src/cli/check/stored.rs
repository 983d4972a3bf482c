//! What the state folder holds, and what of it does not fit the configuration file. Rule: nothing is made, and what is another
//! user's is left alone: an admin may check a file whose state belongs to the daemon's user.

use super::super::{Exit, Failure, user_names};
use crate::account::Account;
use crate::config::mistakes::Level;
use crate::config::{Complaint, Config, lint, written};
use crate::store::{Store, StoreError};

/// What is there, in words, and what is wrong with it. Fails where `run` could not open it.
pub(super) async fn look(config: &Config) -> Result<(String, Vec<Complaint>), Failure> {
    let store = match Store::open_existing(&config.state_dir).await {
        Ok(Some(store)) => store,
        Ok(None) => return Ok(("nothing there yet".to_owned(), Vec::new())),
        Err(StoreError::OtherUser { owner, .. }) => {
            return Ok((format!("not looked into, because it belongs to {owner}"), Vec::new()));
        }
        Err(error) => return Err(Failure::new(Exit::State, error)),
    };
    let mut complaints = user_names::ambiguous(config, &store).await?;
    let accounts = store.accounts().await?;
    complaints.extend(no_such_sender(config, &accounts));
    // The file may have changed since it was read; then the key has to do.
    let text = std::fs::read_to_string(&config.path).unwrap_or_default();
    for complaint in &mut complaints {
        complaint.line = written::line_of(&text, &complaint.key);
    }
    for account in &accounts {
        let Some(provider) = config.providers.get(&account.provider) else { continue };
        complaints.extend(lint::account_names(&config.state_dir, provider, &account.described()));
    }
    let plural = if accounts.len() == 1 { "" } else { "s" };
    Ok((format!("{} account{plural}", accounts.len()), complaints))
}

fn no_such_sender(config: &Config, accounts: &[Account]) -> Option<Complaint> {
    let address = config.on_alarm.mail_account.as_deref()?;
    if accounts.iter().any(|account| account.address.eq_ignore_ascii_case(address)) {
        return None;
    }
    let text = format!("{address} is no account; alarms are mailed through another one");
    Some(Complaint {
        file: config.path.clone(),
        line: None,
        key: "on_alarm.mail_account".to_owned(),
        code: None,
        level: Level::Warning,
        text,
        repair: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::look;
    use crate::config::Config;
    use crate::store::Store;
    use crate::store::accounts::NewAccount;

    fn account(address: &str) -> NewAccount {
        NewAccount { address: address.to_owned(), provider: "a".to_owned(), ..NewAccount::default() }
    }

    #[tokio::test]
    async fn what_is_stored_is_compared_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gatepost.yaml");
        let text = "providers:
  a: { preset: microsoft365, client_id: abc }
listeners: [{ protocol: smtp }]
state: state
on_alarm: { mail_to: admin@example.com, mail_account: Ann@example.com }
";
        std::fs::write(&path, text).unwrap();
        let config = Config::parse(&path, text, &|_| None).unwrap();
        let store = Store::open(&config.state_dir).await.unwrap();
        let lines = async || {
            let (_, found) = look(&config).await.unwrap();
            found
                .iter()
                .map(|it| it.to_string().replace(folder.path().to_str().unwrap(), ""))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines().await,
            [
                "/gatepost.yaml:5: on_alarm.mail_account: warning: Ann@example.com is no account; alarms are mailed through another one"
            ]
        );
        store.add_account(&account("ann@example.com"), None).await.unwrap();
        assert_eq!(look(&config).await.unwrap(), ("1 account".to_owned(), vec![]));
        let old_way = NewAccount {
            pop3_user_name: Some("ann@example.com\\office".to_owned()),
            ..account("office@example.com")
        };
        let shared = NewAccount {
            owner: Some("ann@example.com".to_owned()),
            smtp_user_name: Some("Ann@example.com".to_owned()),
            ..account("shared@example.com")
        };
        let other = NewAccount { imap_user_name: Some("bob".to_owned()), ..account("bob@example.com") };
        for account in [old_way, shared, other] {
            store.add_account(&account, None).await.unwrap();
        }
        assert_eq!(
            lines().await,
            [
                "/state: bob@example.com: warning L19: the user name `bob` is not an address, and Microsoft wants that of the mailbox or \
                 of who opens it; for a shared mailbox: `gatepost account set bob@example.com --shared --owner WHO`",
                "/state: office@example.com: warning L19: the user name `ann@example.com\\office` is the old way into another mailbox, \
                 which Microsoft 365 no longer takes; for a shared mailbox: `gatepost account set office@example.com --shared --owner \
                 WHO`",
            ]
        );
    }
}
