//! [`ServiceAccount`]: the JSON key file that Google makes for a service account. It says by itself who asks for tokens and
//! where, so that a provider with `grant: service_account` needs neither `client_id` nor `token_endpoint`.

use std::path::Path;

use gatepost_protocol::secret::Secret;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::section::Field;
use super::{Surroundings, lint, secret};
use crate::jwt::SigningKey;

/// A service account that may act for the mailboxes of its organisation.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// Who it is: its `client_email`.
    pub email: String,
    /// What an administrator knows it by: its `client_id`, a number.
    pub unique_id: Option<String>,
    /// Its private key.
    pub key: SigningKey,
    /// Which of its keys that is, as Google names it.
    pub key_id: Option<String>,
    /// Where it gets its tokens: its `token_uri`. Always https.
    pub token_endpoint: Url,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    client_id: Option<String>,
    #[serde(deserialize_with = "secret_text")]
    private_key: Secret<String>,
    private_key_id: Option<String>,
    token_uri: String,
}

impl ServiceAccount {
    /// Reads a key file, or says what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, String> {
        let read = secret::read_private(path).and_then(|text| parse(&text));
        read.map_err(|problem| format!("{} {problem}", path.display()))
    }
}

/// Reads the key file that `service_account` names.
pub(super) fn read(field: &Field<'_>, surroundings: &Surroundings<'_>) -> Option<ServiceAccount> {
    let path = field.path(surroundings.folder)?;
    match ServiceAccount::load(&path) {
        Ok(service_account) => return Some(service_account),
        Err(problem) => field.complain(problem),
    }
    None
}

fn parse(text: &Secret<String>) -> Result<ServiceAccount, String> {
    // The parser's own words could quote the key.
    let file: KeyFile = serde_json::from_str(text.expose()).map_err(|_| {
        "is not a key file of a service account (JSON with client_email, private_key and token_uri); make one in the \
         Google Cloud console, under Service accounts, Keys"
            .to_owned()
    })?;
    let key =
        SigningKey::from_pem(&file.private_key).map_err(|error| format!("has a private_key that {error}"))?;
    let token_endpoint = lint::urls::endpoint(&file.token_uri, None, "/auth")
        .map_err(|finding| format!("has a token_uri that {}", finding.text))?;
    Ok(ServiceAccount {
        email: file.client_email,
        unique_id: file.client_id,
        key,
        key_id: file.private_key_id,
        token_endpoint,
    })
}

fn secret_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
    use serde_json::{Value, json};

    use super::*;

    fn parsed(file: &Value) -> Result<ServiceAccount, String> {
        parse(&Secret::new(file.to_string()))
    }

    #[test]
    fn a_key_file_says_who_where_and_by_which_key() {
        let pem = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap().serialize_pem();
        let with = |key: &str, value: &str| {
            let mut file = json!({
                "type": "service_account",
                "client_email": "mail@project.example",
                "client_id": "1234567890",
                "private_key": pem,
                "private_key_id": "abc",
                "token_uri": "https://oauth2.googleapis.com/token",
            });
            file[key] = Value::from(value);
            parsed(&file)
        };
        let read = with("project_id", "project").unwrap();
        assert_eq!((read.email.as_str(), read.key_id.as_deref()), ("mail@project.example", Some("abc")));
        assert_eq!(read.unique_id.as_deref(), Some("1234567890"));
        assert_eq!(read.token_endpoint.as_str(), "https://oauth2.googleapis.com/token");
        for (key, value, words) in [
            ("private_key", "planted", "has a private_key that holds no private key in PEM"),
            (
                "token_uri",
                "http://oauth2.googleapis.com/token",
                "has a token_uri that must begin with https://",
            ),
        ] {
            let problem = with(key, value).unwrap_err();
            assert!(problem.starts_with(words) && !problem.contains("planted"), "{problem}");
        }
        let problem = parsed(&json!({ "installed": { "client_secret": "planted" } })).unwrap_err();
        assert!(problem.starts_with("is not a key file") && !problem.contains("planted"), "{problem}");
    }
}
