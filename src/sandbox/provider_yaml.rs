//! The sandbox as an entry of Gatepost's configuration.

use std::path::Path;

use super::{CLIENT_ID, CLIENT_SECRET_VARIABLE, Ports, Revocation, Sandbox};
use crate::config::provider::UpstreamTls;

impl Sandbox {
    /// The entry under `providers:` that makes the sandbox a provider of this name; `ca_file` is where [`Self::ca_pem`]
    /// was written to, `tls` which of the two ports of each protocol is used. The secret comes from the environment variable
    /// [`CLIENT_SECRET_VARIABLE`], which whoever calls [`crate::config::Config::parse`] can answer with
    /// [`super::CLIENT_SECRET`].
    pub fn provider_yaml(&self, name: &str, ca_file: &Path, tls: UpstreamTls) -> String {
        let Ports { https, smtp, smtps, pop3, pop3s, imap, imaps } = self.ports;
        let (smtp, pop3, imap, tls) = match tls {
            UpstreamTls::Implicit => (smtps, pop3s, imaps, "implicit"),
            UpstreamTls::StartTls => (smtp, pop3, imap, "starttls"),
        };
        let personality = self.shared.world().personality.clone();
        let needs = personality.refresh_token_needs.iter().filter(|(field, _)| *field != "scope");
        let parameters: Vec<String> = needs.map(|(field, word)| format!("{field}: {word}")).collect();
        let device = match personality.device_codes_refused {
            Some(_) => String::new(),
            None => {
                format!("    device_authorization_endpoint: https://localhost:{https}/device_authorization\n")
            }
        };
        let revocation = match personality.revocation {
            Revocation::None => String::new(),
            Revocation::Rfc7009 | Revocation::WholeConsent => {
                format!("    revocation_endpoint: https://localhost:{https}/revoke\n")
            }
        };
        let smtp_capabilities: Vec<&str> = personality
            .dialect
            .smtp
            .in_tls
            .iter()
            .copied()
            .filter(|line| !line.starts_with("AUTH "))
            .collect();
        let imap_capabilities: Vec<&str> =
            personality.dialect.imap.logged_in.split(' ').filter(|word| !is_about_login(word)).collect();
        // JSON's strings are YAML's too, whatever a path holds.
        let ca_file = serde_json::Value::from(ca_file.to_string_lossy());
        let login = if personality.password.is_some() {
            "    login: password\n".to_owned()
        } else {
            format!(
                "    grant: authorization_code
    authorization_endpoint: https://localhost:{https}/authorize
{device}    token_endpoint: https://localhost:{https}/token
{revocation}    client_id: {CLIENT_ID}
    client_secret: {{ env: {CLIENT_SECRET_VARIABLE} }}
    scopes: [{scopes}]
    authorization_parameters: {{ {parameters} }}
    redirect_host: localhost
",
                scopes = personality.scopes.join(", "),
                parameters = parameters.join(", "),
            )
        };
        format!(
            "  {name}:
{login}    smtp: {{ host: localhost, port: {smtp}, tls: {tls}, capabilities: [{smtp_capabilities}] }}
    pop3: {{ host: localhost, port: {pop3}, tls: {tls}, capabilities: [TOP, UIDL] }}
    imap: {{ host: localhost, port: {imap}, tls: {tls}, capabilities: [{imap_capabilities}] }}
    ca_file: {ca_file}
",
            smtp_capabilities = smtp_capabilities.join(", "),
            imap_capabilities = imap_capabilities.join(", "),
        )
    }
}

/// What an IMAP server says of itself and of logins, which is not for a client to be promised.
fn is_about_login(word: &str) -> bool {
    matches!(word, "IMAP4" | "IMAP4rev1" | "LOGINDISABLED" | "SASL-IR") || word.starts_with("AUTH=")
}
