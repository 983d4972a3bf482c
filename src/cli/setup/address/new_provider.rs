//! A provider that is yet to be written: asks for what nobody can know but the person, with the way to it, and gives the keys
//! for the configuration file.

use std::path::Path;

use gatepost_protocol::Protocol;

use super::super::super::{Exit, Failure, table::print};
use super::super::question;
use super::application::{Asked, way};
use super::provider::{Kind, domain};
use super::secret_file::SecretFile;
use super::settings::{self, Server, Settings};
use crate::config::edit::Value;
use crate::config::presets::Preset;
use crate::config::provider::LoginKind;
use crate::discovery::Servers;

/// Stands for any organisation in a preset; the domain of the mailbox names its own.
const ANY_TENANT: &str = "organizations";

/// The keys of a new provider, and the file that a secret was put into, beside the configuration, where one was typed.
pub(super) async fn keys(
    address: &str,
    name: &str,
    kind: &Kind,
    mut settings: Settings,
    configuration: &Path,
) -> Result<(Vec<(String, Value)>, Option<SecretFile>), Failure> {
    let mut secret = None;
    let first = match kind {
        Kind::Preset(preset) => {
            if preset.login == LoginKind::OAuth && !settings.app_password {
                secret = Asked::preset(preset).application(&mut settings).await?;
            }
            if preset.login == LoginKind::Password {
                let (title, way) = (&preset.title, way(preset.registration.as_ref()));
                print(&format!(
                    "\nGatepost needs a password that {title} takes from mail programs:\n{way}\n"
                ))?;
            }
            if settings.app_password {
                settings.tenant = None;
            } else if settings.tenant.is_none() && preset.text("tenant") == Some(ANY_TENANT) {
                settings.tenant = Some(domain(address).to_owned());
            }
            ("preset", preset.name.clone())
        }
        Kind::Issuer { issuer, servers } => {
            let asked =
                Asked { provider: issuer, registration: None, app_passwords: false, token_endpoint: None };
            secret = asked.application(&mut settings).await?;
            ask_for_servers(&mut settings, address, servers).await?;
            ("issuer", issuer.clone())
        }
    };
    // Behind the last question: whoever stops at one leaves no secret behind.
    let file = secret.map(|secret| SecretFile::make(configuration, name, &secret)).transpose()?;
    if let Some(file) = &file {
        settings.client_secret_file = Some(file.path.clone());
    }
    let mut keys = vec![(first.0.to_owned(), Value::Text(first.1))];
    let before = match kind {
        Kind::Preset(preset) => preset.servers.as_slice(),
        Kind::Issuer { .. } => &[],
    };
    keys.extend(settings.keys(before)?);
    Ok((keys, file))
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
