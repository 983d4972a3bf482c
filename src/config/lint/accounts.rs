//! L19: user names at a provider that are no mailbox.

use std::path::Path;

use super::super::complaint::{Complaint, Complaints, Finding};
use super::super::microsoft;
use super::super::provider::Provider;
use crate::store::accounts::NewAccount;

/// Complains about the user names of an account that is stored, or is to be, each once. `file` is where it stands.
pub(crate) fn account_names(file: &Path, provider: &Provider, account: &NewAccount) -> Vec<Complaint> {
    let names = [&account.smtp_user_name, &account.pop3_user_name, &account.imap_user_name];
    let mut found = Vec::new();
    for name in names.into_iter().flatten() {
        let complaint = account_name(file, provider, account, name);
        found.extend(complaint.filter(|complaint| !found.contains(complaint)));
    }
    found
}

/// One of them.
fn account_name(file: &Path, provider: &Provider, account: &NewAccount, name: &str) -> Option<Complaint> {
    let complaints = Complaints::new(file);
    complaints.add(None, &account.address, user_name(provider, &account.address, name)?, None);
    complaints.into_sorted().pop()
}

/// A user name that Microsoft does not take. Another address may well be the mailbox's sign-in name.
fn user_name(provider: &Provider, address: &str, user_name: &str) -> Option<Finding> {
    if !microsoft::is_sign_in(&provider.oauth()?.token_endpoint) {
        return None;
    }
    let what = if user_name.contains('\\') {
        "is the old way into another mailbox, which Microsoft 365 no longer takes"
    } else if user_name.contains('@') {
        return None;
    } else {
        "is not an address, and Microsoft wants that of the mailbox or of who opens it"
    };
    let text = format!(
        "the user name `{user_name}` {what}; for a shared mailbox: `gatepost account set {address} --shared --owner WHO`"
    );
    Some(Finding::coded("L19", text))
}
