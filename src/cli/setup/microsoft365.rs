//! `gatepost setup microsoft365`: an application of the organisation's own, which its administrator allows the mailboxes that
//! are named and no others (client credentials).

mod plan;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_protocol::Protocol;

pub(super) use self::plan::permission;
use self::plan::{Cloud, Plan, Proof, registration};
use super::super::table::{json, print, printable};
use super::super::{Context, Exit, Failure, complain, progress};
use super::mailboxes::{MailboxArguments, Mailboxes};
use super::powershell::{Application, script};
use super::wait::{WaitArguments, Waiting};
use super::{configuration, name_for, provider, question};
use crate::config::lint;
use crate::config::provider::{ClientAuthentication, GrantType, OAuthClient};
use crate::oauth::application;

/// `gatepost setup microsoft365`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    mailboxes: MailboxArguments,
    /// Its provider in the configuration file, which knows the two ids that follow
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The directory (tenant) id, or a domain of it
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// The application (client) id
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The object id of the enterprise application, not of the app registration; without it the script asks
    #[arg(long, value_name = "ID")]
    object_id: Option<String>,
    #[command(flatten)]
    protocols: ProtocolArguments,
    /// Write the script to this file
    #[arg(long, value_name = "FILE", conflicts_with = "wait")]
    output: Option<PathBuf>,
    /// Replace the file, if it is there
    #[arg(long, requires = "output")]
    overwrite: bool,
    /// Print one JSON object instead: {"consent_url", "permissions", "script", "configuration", "commands"}, with --wait
    /// {"ready", "seconds", "mailboxes": [{"address", "protocol", "ready", "detail"}]}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Which protocols the application is for.
#[derive(clap::Args, Debug)]
struct ProtocolArguments {
    /// Only SMTP, and what else is named [default: what the provider has]
    #[arg(long)]
    smtp: bool,
    /// Only POP3, and what else is named
    #[arg(long)]
    pop3: bool,
    /// Only IMAP, and what else is named
    #[arg(long)]
    imap: bool,
}

impl ProtocolArguments {
    /// Those that were named. None means all.
    fn named(&self) -> Vec<Protocol> {
        let is_named = |protocol: &Protocol| match protocol {
            Protocol::Smtp => self.smtp,
            Protocol::Pop3 => self.pop3,
            Protocol::Imap => self.imap,
        };
        Protocol::ALL.into_iter().filter(is_named).collect()
    }
}

impl Arguments {
    /// Prints the steps, or waits until they have come into force.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mailboxes = self.mailboxes.read()?;
        let protocols = self.protocols.named();
        if self.wait.wait {
            let (config, name) = (context.config()?, self.provider.as_deref());
            let grant = GrantType::ClientCredentials;
            let waiting = Waiting::begin(&config, name, grant, &mailboxes, &protocols);
            return waiting.await?.run(&self.wait, self.json).await;
        }
        let plan = self.plan(context, mailboxes, protocols).await?;
        let script = script(&plan.application, &plan.mailboxes, &plan.protocols);
        if let Some(path) = &self.output {
            write(path, &script, self.overwrite)?;
        }
        print(&if self.json {
            json(&plan.in_json(&script))
        } else {
            plan.in_words(&script, self.output.as_deref())
        })
    }

    /// Brings together what the command line says, what the configuration knows, and what is asked for.
    async fn plan(
        &self,
        context: &Context,
        mailboxes: Mailboxes,
        mut protocols: Vec<Protocol>,
    ) -> Result<Plan, Failure> {
        let is_complete = self.tenant.is_some() && self.client_id.is_some();
        let config = match &self.provider {
            Some(_) => Some(context.config()?),
            // A file that is still wrong keeps nobody from the steps, if the command line says it all.
            None if is_complete => None,
            None => configuration(context)?,
        };
        let known = match &config {
            Some(config) => provider(config, self.provider.as_deref(), GrantType::ClientCredentials)?,
            None => None,
        };
        let client = known.as_ref().and_then(|provider| provider.oauth());
        let cloud = Cloud::of(known.as_deref());
        if protocols.is_empty() {
            let has = |protocol: &Protocol| {
                known.as_ref().is_none_or(|provider| provider.endpoint(*protocol).is_some())
            };
            protocols = Protocol::ALL.into_iter().filter(has).collect();
        }
        let asks = client.is_none() && !is_complete && question::is_possible();
        let proof = match client.map(|client| &client.authentication) {
            Some(ClientAuthentication::PrivateKeyJwt(_)) => Proof::Certificate,
            _ => Proof::Secret,
        };
        let is_registration_told = asks && !self.json;
        if is_registration_told {
            print(&registration(&cloud, &protocols, proof, "into a file"))?;
        }
        let is_known = client.is_some() || is_complete;
        if !(self.json || question::is_possible() || is_known && !mailboxes.is_empty()) {
            print(&self.in_general(cloud.clone(), &mailboxes, &protocols))?;
        }
        let (client_id, tenant) = self.ids(client.map(AsRef::as_ref)).await?;
        let mailboxes = if mailboxes.is_empty() { Mailboxes::asked().await? } else { mailboxes };
        let object_id = self.object_id(client, &client_id, asks).await?;
        let is_configured = known.is_some();
        let provider = match known {
            Some(provider) => provider.name.clone(),
            None => name_for(mailboxes.domain_name(), "microsoft365"),
        };
        let application = Application { tenant, client_id, object_id, environment: cloud.environment };
        Ok(Plan {
            application,
            cloud,
            mailboxes,
            protocols,
            provider,
            is_configured,
            proof,
            is_registration_told,
        })
    }

    /// The steps for whoever cannot be asked, with names in capitals where something is missing.
    fn in_general(&self, cloud: Cloud, mailboxes: &Mailboxes, protocols: &[Protocol]) -> String {
        let given = |text: &Option<String>, name: &str| {
            let fits = |text: &&String| {
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
            };
            text.as_ref().filter(fits).cloned().unwrap_or_else(|| name.to_owned())
        };
        let mut mailboxes = mailboxes.clone();
        if mailboxes.is_empty() {
            mailboxes.named.push("MAILBOX".to_owned());
        }
        let plan = Plan {
            application: Application {
                tenant: given(&self.tenant, "TENANT-ID"),
                client_id: given(&self.client_id, "CLIENT-ID"),
                object_id: None,
                environment: cloud.environment,
            },
            cloud,
            provider: name_for(mailboxes.domain_name(), "microsoft365"),
            mailboxes,
            protocols: protocols.to_vec(),
            is_configured: false,
            proof: Proof::Secret,
            is_registration_told: false,
        };
        let script = script(&plan.application, &plan.mailboxes, &plan.protocols);
        plan.in_words(&script, None)
    }

    /// The client id and the tenant.
    async fn ids(&self, client: Option<&OAuthClient>) -> Result<(String, String), Failure> {
        let client_id = self.client_id.clone().or_else(|| Some(client?.client_id.clone()));
        let client_id = match client_id {
            Some(client_id) => checked("--client-id", client_id, wrong_id)?,
            None => question::answer("Application (client) ID", "--client-id", wrong_id).await?,
        };
        let wrong_tenant = |text: &str| {
            lint::tenant(text, true, GrantType::ClientCredentials, Some(&client_id)).map(|it| it.text)
        };
        let tenant = match self.tenant.clone().or_else(|| tenant_of(client?)) {
            Some(tenant) => checked("--tenant", tenant, wrong_tenant)?,
            None => question::answer("Directory (tenant) ID", "--tenant", wrong_tenant).await?,
        };
        Ok((client_id, tenant))
    }

    /// The object id, from wherever it can be had. A token tells it, so that nobody can take it from the wrong page.
    async fn object_id(
        &self,
        client: Option<&Arc<OAuthClient>>,
        client_id: &str,
        asks: bool,
    ) -> Result<Option<String>, Failure> {
        let wrong = |text: &str| wrong_object_id(text, client_id);
        if let Some(object_id) = self.object_id.clone() {
            return checked("--object-id", object_id, wrong).map(Some);
        }
        if let Some(client) = client.filter(|client| client.client_id == client_id) {
            match progress::shown("looking the object ID up", application::token(client, "")).await {
                Ok(token) => {
                    let object_id = application::claims(&token).and_then(|claims| claims.object_id);
                    return Ok(object_id.filter(|object_id| wrong(object_id).is_none()));
                }
                Err(error) => {
                    let message = "The object ID cannot be looked up, so the script will ask:";
                    complain(&format!("{message} {error}\n"));
                }
            }
        }
        if !asks {
            return Ok(None);
        }
        let question = "Object ID of the enterprise application, which is not the one under App\nregistrations \
                        (Enterprise applications > Gatepost > Overview), or nothing,\nand the script asks";
        let answer =
            question::answer(question, "--object-id", |text| wrong(text).filter(|_| !text.is_empty()));
        Ok(Some(answer.await?).filter(|object_id| !object_id.is_empty()))
    }
}

/// The tenant, where the token endpoint names it.
fn tenant_of(client: &OAuthClient) -> Option<String> {
    let path = client.token_endpoint.path().strip_suffix("/oauth2/v2.0/token")?;
    path.strip_prefix('/').map(str::to_owned)
}

fn checked(option: &str, text: String, wrong: impl Fn(&str) -> Option<String>) -> Result<String, Failure> {
    match wrong(&text) {
        None => Ok(text),
        Some(problem) => Err(Failure::new(Exit::Failed, format!("{option} {problem}"))),
    }
}

fn wrong_id(text: &str) -> Option<String> {
    let shown = printable(text);
    (!lint::is_guid(text))
        .then(|| format!("`{shown}` is not an id like 11111111-2222-3333-4444-555555555555"))
}

fn wrong_object_id(text: &str, client_id: &str) -> Option<String> {
    if text.eq_ignore_ascii_case(client_id) {
        return Some("is the application (client) id; the object id stands beside it".to_owned());
    }
    wrong_id(text)
}

fn write(path: &Path, script: &str, overwrite: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    if overwrite {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(path).and_then(|mut file| file.write_all(script.as_bytes()));
    written.map_err(|error| {
        let path = path.display();
        Failure::new(
            Exit::Failed,
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                format!("{path} is there already; name another file, or add --overwrite")
            } else {
                format!("{path} cannot be written: {error}")
            },
        )
    })
}
