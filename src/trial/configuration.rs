//! What the configuration file and the account say, as the first step of a trial.

use gatepost_protocol::Protocol;

use super::{Outcome, Part, Remark, Step, Trial};
use crate::config::provider::Login;

/// It was read before, so that only warnings can be left.
pub(super) fn step(trial: &Trial) -> Step {
    let Trial { provider, account, warnings, .. } = trial;
    let login = match &provider.login {
        Login::OAuth(client) => {
            format!("{} at {}", client.grant.name(), client.token_endpoint.host_str().unwrap_or_default())
        }
        Login::Password => "password".to_owned(),
    };
    let mut detail = format!("provider {}, {login}; ", provider.name);
    let names: Vec<(Protocol, &str)> = trial
        .protocols()
        .into_iter()
        .map(|protocol| (protocol, account.upstream_user_name(protocol)))
        .collect();
    match names.as_slice() {
        [(_, first), others @ ..] if others.iter().all(|(_, name)| name == first) => {
            detail.push_str("as ");
            detail.push_str(first);
        }
        names => {
            let each: Vec<String> =
                names.iter().map(|(protocol, name)| format!("{protocol} as {name}")).collect();
            detail.push_str(&each.join(", "));
        }
    }
    let mut remarks: Vec<Remark> = warnings.iter().map(|warning| heading(warning.clone())).collect();
    if account.disabled {
        remarks.push(Remark {
            title: "The account is switched off".to_owned(),
            cause: "Gatepost lets no device in for it.".to_owned(),
            fix: format!("Switch it on: gatepost account enable {}", account.address),
        });
    }
    Step {
        name: "configuration".to_owned(),
        part: Part::Configuration,
        user_name: None,
        took: None,
        outcome: Outcome::Well { detail, remarks },
    }
}

fn heading(title: String) -> Remark {
    Remark { title, cause: String::new(), fix: String::new() }
}
