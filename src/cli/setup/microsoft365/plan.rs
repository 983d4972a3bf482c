//! The steps of `gatepost setup microsoft365`, as people read them and as a script does.

use std::fmt::Write as _;
use std::path::Path;

use gatepost_protocol::Protocol;
use serde_json::json;

use super::super::super::table::printable;
use super::super::mailboxes::Mailboxes;
use super::super::powershell::Application;
use super::super::{commands, indented, shell_word};
use crate::config::provider::{OAuthClient, Provider};
use crate::oauth::admin_consent;

/// Everything that is printed.
pub(super) struct Plan {
    pub(super) application: Application,
    pub(super) cloud: Cloud,
    pub(super) mailboxes: Mailboxes,
    pub(super) protocols: Vec<Protocol>,
    /// As the configuration file names it, or is to name it.
    pub(super) provider: String,
    /// Whether it stands there already.
    pub(super) is_configured: bool,
    /// What the application proves itself with.
    pub(super) proof: Proof,
    /// Whether the first step was told before the questions that it answers.
    pub(super) is_registration_told: bool,
}

/// What an application proves itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Certificate,
    Secret,
}

/// Which of Microsoft's clouds the organisation is in.
#[derive(Clone, Debug)]
pub(super) struct Cloud {
    /// Entra's endpoints.
    pub(super) login: String,
    /// Where people click.
    pub(super) portal: &'static str,
    /// Its name for Exchange's PowerShell module, where it needs one.
    pub(super) environment: Option<&'static str>,
}

impl Cloud {
    /// The provider's, or the one that most are in.
    pub(super) fn of(provider: Option<&Provider>) -> Self {
        let host_of = |client: &OAuthClient| client.token_endpoint.host_str().map(str::to_owned);
        let login = provider
            .and_then(|provider| host_of(provider.oauth()?))
            .unwrap_or_else(|| "login.microsoftonline.com".to_owned());
        // The two American clouds share Entra and have servers of their own.
        let is_defence = || {
            let mut endpoints = Protocol::ALL.into_iter().filter_map(|protocol| provider?.endpoint(protocol));
            endpoints.any(|endpoint| endpoint.host.contains("dod"))
        };
        let (portal, environment) = match login.as_str() {
            "login.microsoftonline.us" if is_defence() => ("https://portal.azure.us", Some("O365USGovDoD")),
            "login.microsoftonline.us" => ("https://portal.azure.us", Some("O365USGovGCCHigh")),
            "login.partner.microsoftonline.cn" | "login.chinacloudapi.cn" => {
                ("https://portal.azure.cn", Some("O365China"))
            }
            _ => ("https://entra.microsoft.com", None),
        };
        Self { login, portal, environment }
    }
}

impl Plan {
    fn consent_url(&self) -> String {
        let Application { tenant, client_id, .. } = &self.application;
        admin_consent::of_registration(&self.cloud.login, tenant, client_id)
    }

    pub(super) fn in_words(&self, script: &str, written_to: Option<&Path>) -> String {
        let secret = if self.is_configured {
            "to where client_secret in the configuration file says".to_owned()
        } else {
            format!("into /etc/gatepost/{}.secret", self.provider)
        };
        let begin = if self.is_registration_told {
            String::new()
        } else {
            format!(
                "Microsoft 365, {}

Gatepost opens them by itself, as an application of the organisation. Nobody
signs in; what keeps a mailbox closed is the password that its device has at
Gatepost.

{}",
                printable(&self.mailboxes.in_words()),
                registration(&self.cloud, &self.protocols, self.proof, &secret)
            )
        };
        let everything = match &self.mailboxes.domain {
            None => String::new(),
            Some(domain) => format!(
                "   This opens every mailbox of {domain}
   to the application: whoever has its {} has them all.

",
                match self.proof {
                    Proof::Certificate => "key",
                    Proof::Secret => "secret",
                }
            ),
        };
        let consent = format!(
            "2. Grant admin consent
   On the page API permissions: Grant admin consent. Or, for an administrator
   elsewhere, at the address below. If it then complains of a missing reply
   address: the application needs none, and API permissions shows whether the
   consent was granted.

   {}

3. Give it the mailboxes
",
            self.consent_url()
        );
        let script = match written_to {
            Some(path) => format!(
                "   Run {} in PowerShell as an Exchange administrator.
   Where Windows takes no scripts:
   powershell -ExecutionPolicy Bypass -File {}

",
                path.display(),
                shell_word(&path.to_string_lossy())
            ),
            None => format!(
                "   Paste this into PowerShell as an Exchange administrator. (--output FILE
   writes it to a file.)

{}
",
                script.trim_start_matches('\u{feff}')
            ),
        };
        let configuration = if self.is_configured {
            format!("4. The configuration file\n   It has the provider {} already.\n\n", self.provider)
        } else {
            format!(
                "4. Write into gatepost.yaml, under `providers:`

{}
   Only Gatepost's user may read the file with the secret.

",
                self.configuration()
            )
        };
        begin
            + &consent
            + &everything
            + &script
            + &configuration
            + "5. Then\n\n"
            + &indented(&self.commands())
    }

    pub(super) fn in_json(&self, script: &str) -> serde_json::Value {
        json!({
            "consent_url": self.consent_url(),
            "permissions": self.protocols.iter().map(|protocol| permission(*protocol)).collect::<Vec<_>>(),
            "script": script,
            "configuration": self.configuration(),
            "commands": self.commands(),
        })
    }

    /// The entry for the configuration file; nothing where it stands there.
    fn configuration(&self) -> String {
        if self.is_configured {
            return String::new();
        }
        let (Application { tenant, client_id, .. }, name) = (&self.application, &self.provider);
        let mut text = format!(
            "  {name}:\n    preset: microsoft365\n    grant: client_credentials\n    tenant: {tenant}\n    client_id: \
             {client_id}\n    client_secret: {{ file: /etc/gatepost/{name}.secret }}\n"
        );
        for protocol in Protocol::ALL.into_iter().filter(|protocol| !self.protocols.contains(protocol)) {
            let _ = writeln!(text, "    {}: none", protocol.name());
        }
        text
    }

    fn commands(&self) -> Vec<String> {
        commands("microsoft365", &self.mailboxes, &self.provider)
    }
}

/// Step 1, which comes before anybody knows an id.
pub(super) fn registration(cloud: &Cloud, protocols: &[Protocol], proof: Proof, secret: &str) -> String {
    let proof = match proof {
        Proof::Certificate => "Certificates > Upload certificate
     The one that client_certificate in the configuration file names, and never
     its key."
            .to_owned(),
        Proof::Secret => format!(
            "New client secret
     Copy its Value, not its Secret ID, {secret}."
        ),
    };
    let permissions: Vec<_> = protocols.iter().map(|protocol| permission(*protocol)).collect();
    format!(
        "1. Register the application, once
   {portal} > App registrations > New registration
     Name: Gatepost. Accounts in this organizational directory only. No redirect
     URI. Its Overview then shows the Application (client) ID and the Directory
     (tenant) ID.
   Certificates & secrets > {proof}
   API permissions > Add a permission > APIs my organization uses
     > Office 365 Exchange Online > Application permissions
     {permissions}
     Those of Microsoft Graph have other names and do not do.

",
        portal = cloud.portal,
        permissions = permissions.join(", ")
    )
}

/// The application permission of Office 365 Exchange Online.
pub(in crate::cli::setup) fn permission(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "SMTP.SendAsApp",
        Protocol::Pop3 => "POP.AccessAsApp",
        Protocol::Imap => "IMAP.AccessAsApp",
    }
}
