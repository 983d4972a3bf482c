//! `gatepost test ADDRESS --send-to OTHER`: a real message, once the logins are tried.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::{Exit, Failure, progress};
use crate::config::Config;
use crate::store::StoreError;
use crate::submission::can_carry;
use crate::trial::delivery::{self, PATIENCE};
use crate::trial::{Step, Trial};

/// Without it no message can be sent.
const SMTP_LOGIN: &str = "SMTP login";

/// Refuses an address that no message can go to, before anything is tried.
pub(super) fn check(to: &str) -> Result<(), Failure> {
    if can_carry(to) && to.contains('@') {
        return Ok(());
    }
    let message = format!(
        "--send-to {to}: that is no address that a message can go to; write it like name@example.com"
    );
    Err(Failure::new(Exit::Failed, message))
}

/// Sends the message and looks for it, unless these logins say that nobody would take it; tells each step.
pub(super) async fn deliver(
    from: Trial,
    to: &str,
    config: &Config,
    logins: &[Step],
    told: impl Fn(&Step) -> Result<(), Failure>,
) -> Result<Vec<Step>, Failure> {
    let is_let_in = |step: &Step| step.name == SMTP_LOGIN && step.is_well();
    if from.provider.smtp.is_some() && !logins.iter().any(is_let_in) {
        let step = delivery::no_message("SMTP did not let Gatepost in, see above".to_owned());
        told(&step)?;
        return Ok(vec![step]);
    }
    let inbox = inbox(&from, to, config).await?;
    let sending = delivery::message(&from, to);
    let (step, sent) = progress::shown(&format!("message to {to}"), sending).await?;
    told(&step)?;
    let mut steps = vec![step];
    if let Some(sent) = sent {
        let what = format!("looking into the inbox of {to}");
        let arrival = delivery::arrival(&sent, to, inbox.as_ref());
        let step = progress::counted_down(&what, Instant::now() + PATIENCE, arrival).await?;
        told(&step)?;
        steps.push(step);
    }
    from.tokens.settled().await;
    Ok(steps)
}

/// The mailbox of this address, if it is an account here; at the sender's own provider, where it is one at several.
async fn inbox(from: &Trial, to: &str, config: &Config) -> Result<Option<Trial>, StoreError> {
    let mut accounts = from.store.accounts_at(to).await?;
    accounts.sort_by_key(|account| account.provider != from.provider.name);
    Ok(accounts.into_iter().find_map(|account| {
        let provider = Arc::clone(config.providers.get(&account.provider)?);
        Some(Trial { provider, account, warnings: Vec::new(), ..from.clone() })
    }))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_message_goes_to_an_address_alone() {
        for (to, is_one) in
            [("ann@example.com", true), ("ann", false), ("j\u{f6}rg@example.com", false), ("", false)]
        {
            assert_eq!(check(to).is_ok(), is_one, "{to}");
        }
    }
}
