//! Device authorization (RFC 8628): the codes, and what the page for people does with them.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::World;
use super::grants::Issued;

/// Every device code that was given, by its secret half.
#[derive(Debug, Default)]
pub(super) struct DeviceCodes(HashMap<String, DeviceCode>);

#[derive(Debug)]
struct DeviceCode {
    user_code: String,
    scope: String,
    expires_at: Instant,
    decision: Option<Decision>,
}

/// What a person said.
#[derive(Clone, Debug)]
enum Decision {
    Allowed(String),
    Denied,
}

impl World {
    /// Section 3.2. `page` is where people go.
    pub(super) fn device_authorization(&mut self, scope: &str, page: &str) -> Value {
        let (device_code, user_code) = (self.grants.random(43), self.grants.random(8));
        let lifetime = self.personality.device_code_lifetime;
        let answer = json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": lifetime.as_secs(),
            "interval": self.personality.device_interval.as_secs(),
        });
        let (scope, expires_at) = (scope.to_owned(), Instant::now() + lifetime);
        self.devices.0.insert(device_code, DeviceCode { user_code, scope, expires_at, decision: None });
        answer
    }

    /// A person on the device page. Whether there is such a code.
    pub(super) fn decide(&mut self, user_code: &str, mailbox: &str) -> bool {
        let decision = match &self.personality.consent_refused {
            Some(_) => Decision::Denied,
            None => {
                Decision::Allowed(self.personality.consents_as.clone().unwrap_or_else(|| mailbox.to_owned()))
            }
        };
        let code = self.devices.0.values_mut().find(|code| code.user_code == user_code);
        code.map(|code| code.decision = Some(decision)).is_some()
    }

    /// Section 3.5: the tokens, once, or the error.
    pub(super) fn redeem_device_code(&mut self, device_code: &str) -> Result<Issued, &'static str> {
        let Some(code) = self.devices.0.get(device_code) else { return Err("invalid_grant") };
        if code.expires_at <= Instant::now() {
            return Err("expired_token");
        }
        let (scope, decision) = (code.scope.clone(), code.decision.clone());
        let decision = decision.ok_or("authorization_pending")?;
        self.devices.0.remove(device_code);
        match decision {
            Decision::Allowed(mailbox) => {
                let personality = self.personality.clone();
                Ok(self.grants.device(mailbox, scope, &personality))
            }
            Decision::Denied => Err("access_denied"),
        }
    }
}
