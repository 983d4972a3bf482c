//! `gatepost setup google`: a service account that the administrator of a Google Workspace allows to act for its mailboxes
//! (domain-wide delegation).

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::table::{json, print, printable};
use super::super::{Context, Exit, Failure};
use super::mailboxes::{MailboxArguments, Mailboxes};
use super::wait::{WaitArguments, Waiting};
use super::{commands, configuration, indented, name_for, provider, question};
use crate::config::provider::{GrantType, ServiceAccount};

/// What the delegation has to allow: IMAP, POP3 and SMTP have no other scope.
const SCOPE: &str = "https://mail.google.com/";

/// Where it is entered.
const DELEGATION: &str = "https://admin.google.com/ac/owl/domainwidedelegation";

/// Where IMAP and POP are switched on.
const END_USER_ACCESS: &str = "https://admin.google.com/ac/apps/gmail/enduseraccess";

/// Step 1, which comes before there is a key file.
const MAKING: &str = "1. Make the service account, once
   https://console.cloud.google.com/iam-admin/serviceaccounts
     Create service account. Name: gatepost. It needs no role.
     Its page > Keys > Add key > Create new key > JSON gives the key file.

";

/// `gatepost setup google`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    mailboxes: MailboxArguments,
    /// The service account's key file (JSON), as the Google Cloud console gave it
    #[arg(long, value_name = "FILE", conflicts_with = "wait")]
    service_account: Option<PathBuf>,
    /// Its provider in the configuration file
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Print one JSON object instead: {"client_id", "scope", "delegation_url", "configuration", "commands"}, with --wait
    /// {"ready", "seconds", "mailboxes": [{"address", "protocol", "ready", "detail"}]}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Everything that is printed.
struct Plan {
    service_account: Identity,
    /// Its key file, for the configuration file, unless it stands there already.
    key_file: Option<PathBuf>,
    mailboxes: Mailboxes,
    /// As the configuration file names it, or is to name it.
    provider: String,
}

/// Who the service account is.
struct Identity {
    email: String,
    /// The number that an administrator knows it by.
    unique_id: String,
}

impl Arguments {
    /// Prints the steps, or waits until they have come into force.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mailboxes = self.mailboxes.read()?;
        if self.wait.wait {
            let (config, name) = (context.config()?, self.provider.as_deref());
            let waiting = Waiting::begin(&config, name, GrantType::ServiceAccount, &mailboxes, &[]);
            return waiting.await?.run(&self.wait, self.json).await;
        }
        let plan = self.plan(context, mailboxes).await?;
        print(&if self.json { json(&plan.in_json()) } else { plan.in_words() })
    }

    async fn plan(&self, context: &Context, mailboxes: Mailboxes) -> Result<Plan, Failure> {
        let config = match (&self.provider, &self.service_account) {
            (Some(_), _) => Some(context.config()?),
            // A file that is still wrong keeps nobody from the steps, if the command line says it all.
            (None, Some(_)) => None,
            (None, None) => configuration(context)?,
        };
        let known = match &config {
            Some(config) => provider(config, self.provider.as_deref(), GrantType::ServiceAccount)?,
            None => None,
        };
        let configured = known.as_ref().and_then(|provider| provider.oauth()?.service_account.as_ref());
        let (service_account, key_file) = match (configured, &self.service_account) {
            (Some(configured), None) => (Identity::of(configured), None),
            (_, Some(path)) => {
                (Identity::load(path).map_err(|problem| refused(&problem))?, Some(path.clone()))
            }
            (None, None) if !question::is_possible() && !self.json => {
                print(&Plan::in_general(mailboxes).in_words())?;
                return Err(refused("--service-account is missing: the key file (JSON)"));
            }
            (None, None) => self.asked().await.map(|(identity, path)| (identity, Some(path)))?,
        };
        let mailboxes = if mailboxes.is_empty() { Mailboxes::asked().await? } else { mailboxes };
        let key_file =
            key_file.filter(|_| known.is_none()).map(|path| std::path::absolute(&path).unwrap_or(path));
        let provider = match known {
            Some(provider) => provider.name.clone(),
            None => name_for(mailboxes.domain_name(), "workspace"),
        };
        Ok(Plan { service_account, key_file, mailboxes, provider })
    }

    /// Asks for the key file, after saying how one gets it.
    async fn asked(&self) -> Result<(Identity, PathBuf), Failure> {
        if question::is_possible() && !self.json {
            print(MAKING)?;
        }
        let wrong = |path: &str| {
            Identity::load(Path::new(path)).err().map(|problem| format!("will not do: {problem}"))
        };
        let path = PathBuf::from(question::answer("The key file (JSON)", "--service-account", wrong).await?);
        Ok((Identity::load(&path).map_err(|problem| refused(&problem))?, path))
    }
}

impl Identity {
    fn load(path: &Path) -> Result<Self, String> {
        ServiceAccount::load(path).map(|service_account| Self::of(&service_account))
    }

    fn of(service_account: &ServiceAccount) -> Self {
        let number = "(IAM & Admin > Service Accounts > Unique ID)";
        Self {
            email: printable(&service_account.email),
            unique_id: printable(service_account.unique_id.as_deref().unwrap_or(number)),
        }
    }
}

impl Plan {
    /// The steps for whoever cannot be asked, with names in capitals where something is missing.
    fn in_general(mut mailboxes: Mailboxes) -> Self {
        if mailboxes.is_empty() {
            mailboxes.named.push("MAILBOX".to_owned());
        }
        Self {
            service_account: Identity {
                email: "SERVICE-ACCOUNT".to_owned(),
                unique_id: "UNIQUE-ID (IAM & Admin > Service Accounts)".to_owned(),
            },
            key_file: Some("/etc/gatepost/KEY-FILE.json".into()),
            provider: name_for(mailboxes.domain_name(), "workspace"),
            mailboxes,
        }
    }

    fn in_words(&self) -> String {
        let Identity { email, unique_id } = &self.service_account;
        let begin = format!(
            "Google Workspace, {}

Gatepost opens them by itself, as a service account. Nobody signs in; what keeps
a mailbox closed is the password that its device has at Gatepost.

{MAKING}2. Allow it the mailboxes, as a super administrator
   {DELEGATION}
   (Security > Access and data control > API controls > Manage Domain Wide
   Delegation) > Add new
     Client ID:    {unique_id}
     OAuth scopes: {SCOPE}
   This opens every mailbox of the organisation to
   {email}:
   whoever has its key file has them all.

3. Switch IMAP and POP on
   {END_USER_ACCESS}
   (Apps > Google Workspace > Gmail > End User Access) > POP and IMAP access
   POP3 each mailbox switches on for itself too: Gmail > Settings > Forwarding
   and POP/IMAP. SMTP needs nothing.

",
            printable(&self.mailboxes.in_words())
        );
        let configuration = match &self.key_file {
            None => {
                format!("4. The configuration file\n   It has the provider {} already.\n\n", self.provider)
            }
            Some(_) => format!(
                "4. Write into gatepost.yaml, under `providers:`\n\n{}\n   Only Gatepost's user may read the key \
                 file.\n\n",
                self.configuration()
            ),
        };
        begin + &configuration + "5. Then\n\n" + &indented(&self.commands())
    }

    fn in_json(&self) -> serde_json::Value {
        json!({
            "client_id": self.service_account.unique_id,
            "scope": SCOPE,
            "delegation_url": DELEGATION,
            "configuration": self.configuration(),
            "commands": self.commands(),
        })
    }

    /// The entry for the configuration file; nothing where it stands there.
    fn configuration(&self) -> String {
        let Some(key_file) = &self.key_file else { return String::new() };
        // JSON's strings are YAML's too, whatever a path holds.
        let key_file = serde_json::Value::from(key_file.to_string_lossy());
        let name = &self.provider;
        format!(
            "  {name}:\n    preset: google\n    grant: service_account\n    service_account: {key_file}\n"
        )
    }

    fn commands(&self) -> Vec<String> {
        commands("google", &self.mailboxes, &self.provider)
    }
}

fn refused(problem: &str) -> Failure {
    Failure::new(Exit::Failed, problem)
}
