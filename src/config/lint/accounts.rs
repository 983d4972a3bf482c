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
    complaints.add(
        None,
        &account.address,
        user_name(provider, &account.address, account.owner.as_deref(), name)?,
        None,
    );
    complaints.into_sorted().pop()
}

/// A user name, or the name of who consents, that Microsoft does not take for this mailbox. `owner` is who consents, where that
/// is somebody else.
fn user_name(provider: &Provider, address: &str, owner: Option<&str>, user_name: &str) -> Option<Finding> {
    if !microsoft::is_sign_in(&provider.oauth()?.token_endpoint) {
        return None;
    }
    let shared = format!("`gatepost account set {address} --shared --owner WHO`");
    if user_name.contains('\\') {
        let text = format!(
            "the user name `{user_name}` is the old way into another mailbox, which Microsoft 365 no longer takes; {shared}"
        );
        return Some(Finding::coded("L19", text));
    }
    let is_one = |known: &str| user_name.eq_ignore_ascii_case(known);
    if is_one(address) || owner.is_some_and(is_one) {
        return None;
    }
    let text = format!(
        "the user name `{user_name}` is neither the mailbox nor who consents for it, and Microsoft wants one of them; \
         where the mailbox is a shared one: {shared}"
    );
    Some(Finding::coded("L19", text))
}
