//! The same for scripts. Keys are only ever added.

use serde_json::{Value, json};

use super::super::moment::rfc_3339;
use super::Look;
use crate::standing::{AccountStanding, ProviderStanding, State, Way, refused_login};
use crate::store::upstream_logins::UpstreamLogins;

impl Look<'_> {
    pub(super) fn in_json(&self) -> Value {
        let counted = self.states();
        let states: serde_json::Map<_, _> = State::ALL
            .into_iter()
            .map(|state| (state.word().to_owned(), counted.get(&state).copied().unwrap_or_default().into()))
            .collect();
        json!({
            "at": rfc_3339(self.survey.at),
            "running": self.is_running,
            "attention": self.attention().word(),
            "states": states,
            "accounts": self.survey.accounts.iter().map(account).collect::<Vec<_>>(),
            "providers": self.survey.providers.iter().map(|standing| self.provider(standing)).collect::<Vec<_>>(),
        })
    }

    fn provider(&self, standing: &ProviderStanding) -> Value {
        let proof = standing.proof;
        json!({
            "name": standing.name,
            "accounts": standing.accounts,
            "attention": self.attention_of(standing).word(),
            "reason": self.ending(standing),
            "proof": proof.map(|proof| if proof.is_certificate { "certificate" } else { "secret" }),
            "proof_until": proof.map(|proof| rfc_3339(proof.until)),
        })
    }
}

fn account(standing: &AccountStanding) -> Value {
    json!({
        "id": standing.account.id.0,
        "address": standing.account.address,
        "provider": standing.account.provider,
        "state": standing.verdict.state.word(),
        "attention": standing.verdict.attention().word(),
        "reason": standing.verdict.reason,
        "next_step": standing.verdict.next_step,
        "way": standing.way.map(Way::word),
        "consent_by": standing.consent_by,
        "last_login": standing.last_login.map(rfc_3339),
        "refused_logins": standing.upstream_logins.iter().filter_map(refused).collect::<Vec<_>>(),
        "last_refresh": standing.last_refresh.map(rfc_3339),
        "token_until": standing.token_until.map(rfc_3339),
        "consent_until": standing.consent_until.map(rfc_3339),
    })
}

fn refused(logins: &UpstreamLogins) -> Option<Value> {
    let refused = logins.refused.as_ref()?;
    let row = refused_login::diagnosis(logins);
    Some(json!({
        "protocol": logins.protocol.name(),
        "at": rfc_3339(refused.at),
        "diagnosis": row.map(|row| row.id.as_str()),
        "title": row.map(|row| row.title.as_str()),
        "said": refused.said,
    }))
}
