//! A provider that is yet to be written: asks for what nobody can know but the person, with the way to it, and gives the keys
//! for the configuration file.

use std::path::Path;

use gatepost_protocol::Protocol;

use super::super::super::{Exit, Failure, table::print};
use super::super::question;
use super::provider::{Kind, domain};
use super::settings::{self, Server, Settings};
use crate::config::edit::Value;
use crate::config::presets::{Preset, Registration};
use crate::config::provider::LoginKind;
use crate::config::replace;
use crate::discovery::Servers;

/// What every terminal has.
const COLUMNS: usize = 80;

/// Stands for any organisation in a preset; the domain of the mailbox names its own.
const ANY_TENANT: &str = "organizations";

/// The keys of a new provider. A secret that is typed goes into a file beside the configuration.
pub(super) async fn keys(
    address: &str,
    name: &str,
    kind: &Kind,
    mut settings: Settings,
    configuration: &Path,
) -> Result<Vec<(String, Value)>, Failure> {
    let first = match kind {
        Kind::Preset(preset) => {
            if preset.login == LoginKind::OAuth && !settings.app_password {
                let asked = Asked {
                    provider: &preset.title,
                    registration: preset.registration.as_ref(),
                    app_passwords: preset.app_passwords,
                };
                asked.application(&mut settings, name, configuration).await?;
            }
            if settings.app_password {
                settings.tenant = None;
            } else if settings.tenant.is_none() && preset.text("tenant") == Some(ANY_TENANT) {
                settings.tenant = Some(domain(address).to_owned());
            }
            ("preset", preset.name.clone())
        }
        Kind::Issuer { issuer, servers } => {
            let asked = Asked { provider: issuer, registration: None, app_passwords: false };
            asked.application(&mut settings, name, configuration).await?;
            ask_for_servers(&mut settings, address, servers).await?;
            ("issuer", issuer.clone())
        }
    };
    let mut keys = vec![(first.0.to_owned(), Value::Text(first.1))];
    keys.extend(settings.keys()?);
    Ok(keys)
}

/// Who is asked for an application.
struct Asked<'a> {
    /// For people.
    provider: &'a str,
    registration: Option<&'a Registration>,
    /// Whether it can do without.
    app_passwords: bool,
}

impl Asked<'_> {
    /// The client id, and the secret where it has one; or that there is none, where an app password does as well.
    async fn application(
        &self,
        settings: &mut Settings,
        name: &str,
        configuration: &Path,
    ) -> Result<(), Failure> {
        if settings.client_id.is_some() {
            return Ok(());
        }
        let (provider, way) = (self.provider, way(self.registration));
        if !question::is_possible() {
            let or = if self.app_passwords { ", or --app-password" } else { "" };
            let message = format!(
                "--client-id ID is missing: the application that you registered at {provider}{or}.\n{way}"
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        print(&format!(
            "\nGatepost needs a client id of {provider}.\nYou get one by registering it there, once for all your \
             mailboxes:\n{way}\n"
        ))?;
        if self.app_passwords {
            print(
                "Without one, press Enter: then the account logs in with an app password, which\nyou make where the \
                 provider keeps your account.\n",
            )?;
        }
        let wrong = |answer: &str| match answer {
            "" => (!self.app_passwords).then(|| "is empty".to_owned()),
            answer if answer.contains('@') => {
                Some("is an address; the client id is something else".to_owned())
            }
            answer if answer.contains(char::is_whitespace) => Some("has a blank in it".to_owned()),
            _ => None,
        };
        let client_id = question::answer("Client id", "--client-id ID", wrong).await?;
        if client_id.is_empty() {
            settings.app_password = true;
            return Ok(());
        }
        settings.client_id = Some(client_id);
        ask_for_secret(settings, name, configuration).await
    }
}

/// The secret, where the application has one.
async fn ask_for_secret(settings: &mut Settings, name: &str, configuration: &Path) -> Result<(), Failure> {
    if settings.client_secret_file.is_none() {
        let secret =
            question::unseen("Client secret, if there is one (it is not shown; else press Enter)").await?;
        let secret = str::from_utf8(&secret)
            .map_err(|_| Failure::new(Exit::Failed, "the secret is not UTF-8"))?
            .trim();
        if !secret.is_empty() {
            let file = configuration.with_file_name(format!("{name}.secret"));
            replace::make_private(&file, secret).map_err(|error| {
                let message = format!(
                    "the secret cannot be kept in {}: {error}; see --client-secret-file",
                    file.display()
                );
                Failure::new(Exit::Failed, message)
            })?;
            settings.client_secret_file = Some(file);
        }
    }
    Ok(())
}

/// How one gets a client id.
fn way(registration: Option<&Registration>) -> String {
    match registration {
        Some(Registration { steps, url }) => {
            let steps: String = steps.iter().map(|step| wrapped(step)).collect();
            format!("  {url}\n{steps}")
        }
        None => "  Its operator registers a native application with the redirect URI http://localhost,\n  \
                 and gives you the client id.\n"
            .to_owned(),
    }
}

/// A step, in lines that fit a terminal.
fn wrapped(step: &str) -> String {
    let mut lines = vec!["  -".to_owned()];
    for word in step.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("    {word}")),
        }
    }
    lines.join("\n") + "\n"
}

/// Servers that the domain names are taken, others asked for. One is enough. What DNS says is not signed, and tokens go to
/// these servers, so a host outside the address's own domain needs somebody's yes (RFC 6186 section 6).
async fn ask_for_servers(settings: &mut Settings, address: &str, found: &Servers) -> Result<(), Failure> {
    let domain_of_address = domain(address).to_ascii_lowercase();
    for (protocol, found) in
        [(Protocol::Smtp, &found.smtp), (Protocol::Pop3, &found.pop3), (Protocol::Imap, &found.imap)]
    {
        let (None, Some(found)) = (settings.server(protocol), found) else { continue };
        let place = format!("{protocol} {}:{}", found.host, found.port);
        if is_within(&found.host, &domain_of_address) {
            print(&format!("{place}, as {domain_of_address} says in DNS.\n"))?;
        } else if !question::is_possible() {
            let message = format!(
                "{domain_of_address} names {place} in DNS, which is outside that domain: if it is right, add --{} {}",
                protocol.name(),
                found.host
            );
            return Err(Failure::new(Exit::Failed, message));
        } else if !question::yes(&format!("{domain_of_address} names {place} in DNS. Is that its server?"))
            .await
        {
            continue;
        }
        let at = Server::At { host: found.host.clone(), port: Some(found.port), tls: found.tls };
        *settings.server_mut(protocol) = Some(at);
    }
    if Protocol::ALL.into_iter().any(|protocol| settings.server(protocol).is_some()) {
        return Ok(());
    }
    if !question::is_possible() {
        let message = format!(
            "nothing is known about the mail servers of {}: add --smtp, --pop3 or --imap, each with a host",
            domain(address)
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    print("\nThe mail servers, like mail.example.org, mail.example.org:587/starttls, or none:\n")?;
    for protocol in Protocol::ALL {
        let option = format!("--{} HOST", protocol.name());
        let wrong = |answer: &str| settings::server(answer).err();
        let answer = question::answer(&protocol.to_string(), &option, wrong).await?;
        *settings.server_mut(protocol) =
            settings::server(&answer).ok().filter(|server| *server != Server::None);
    }
    Ok(())
}

/// How the provider is called in a line of output.
pub(super) fn title(kind: &Kind) -> String {
    match kind {
        Kind::Preset(Preset { title, .. }) => title.clone(),
        Kind::Issuer { issuer, .. } => issuer.clone(),
    }
}

/// Whether the host is the domain itself or one of its own.
fn is_within(host: &str, domain: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    !domain.is_empty()
        && host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn only_a_host_of_the_domain_itself_is_taken_unasked() {
        for (host, domain, expected) in [
            ("example.org", "example.org", true),
            ("IMAP.Example.org.", "example.org", true),
            ("a.b.example.org", "example.org", true),
            ("imap.evilexample.org", "example.org", false),
            ("example.org.attacker.example", "example.org", false),
            ("imap.attacker.example", "example.org", false),
            ("imap.example.org", "", false),
        ] {
            assert_eq!(is_within(host, domain), expected, "{host} {domain}");
        }
    }
}
