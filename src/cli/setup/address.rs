//! `gatepost setup ADDRESS`: from an address to the first mail. Each step looks first whether it was done already, so that running
//! it again repairs what is missing and repeats nothing. The device's password comes last: it is shown once, so nothing
//! behind it may fail.

mod application;
mod file;
mod new_provider;
mod outcome;
mod password;
mod provider;
mod secret_file;
mod settings;

use std::sync::Arc;

use gatepost_protocol::Protocol;

use self::application::Asked;
use self::file::{Draft, File};
use self::provider::{Choice, Known, Which, choose, new_name};
use self::secret_file::SecretFile;
use self::settings::Settings;
use super::super::account::refuse;
use super::super::connect::{Consent, Named};
use super::super::table::print;
use super::super::who::Who;
use super::super::{Context, Exit, Failure, find, interrupt, progress, style, test};
use super::{organisations, question, this_command};
use crate::account::Account;
use crate::account::name::wrong_address;
use crate::config::provider::{GrantType, Login};
use crate::config::{Config, Provider, nearest, presets};
use crate::oauth::{TokenError, grant_key};
use crate::store::accounts::NewAccount;
use crate::store::{Store, StoreError};
use crate::trial::{Part, Step};

/// `gatepost setup ADDRESS`.
#[derive(clap::Args, Debug)]
pub(super) struct Mailbox {
    /// What stands on the command line in front of all these.
    #[arg(skip)]
    address: String,
    #[command(flatten, next_help_heading = "The provider")]
    which: Which,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten, next_help_heading = "The consent")]
    consent: Consent,
    #[command(flatten, next_help_heading = "The mail program")]
    login: password::Login,
    /// Do not try whether mail servers let the account in
    #[arg(long)]
    no_test: bool,
}

impl Mailbox {
    /// Ends well when a mail program can log in, or could if Gatepost ran.
    pub(super) async fn run(self, address: String, context: &Context) -> Result<(), Failure> {
        Self { address, ..self }.set_up(context).await
    }

    async fn set_up(self, context: &Context) -> Result<(), Failure> {
        refuse_address(&self.address)?;
        if self.consent.way.paste && self.login.password_stdin {
            let message = "--paste and --password-stdin both read standard input: leave one out";
            return Err(Failure::new(Exit::Failed, message));
        }
        let file = File::find(context)?;
        let Decided { name, draft, secret } = self.provider(context, &file).await?;
        let at = file.path.display();
        if draft.is_new {
            let who_reads_it =
                secret.as_ref().map(|secret| secret.hand_to_service(&draft.config.state_dir)).transpose()?;
            file.write(&draft)?;
            if let Some(secret) = secret {
                secret.keep();
            }
            done(&format!("The provider {name} stands in {at} now."))?;
            print(&who_reads_it.flatten().unwrap_or_default())?;
        } else {
            done(&format!("The provider {name} stands in {at} already."))?;
        }
        let steps = Steps { arguments: &self, context, config: draft.config, was_written: draft.is_new };
        steps.run(&name).await.map_err(|failure| {
            let message = format!(
                "{}\nWhat is ticked above stays. When this is put right, go on from here with the same command:\n{}",
                failure.message,
                this_command()
            );
            Failure::new(failure.exit, message)
        })
    }

    /// Which provider it is, and the file with all that was said about it.
    async fn provider(&self, context: &Context, file: &File) -> Result<Decided, Failure> {
        let config = file.config()?;
        let accounts = match &config {
            Some(config) => context.store(config).await?.accounts().await?,
            None => Vec::new(),
        };
        let providers = file.providers();
        let known = Known { providers: &providers, accounts: &accounts };
        let which = Which { client_id: self.settings.client_id.clone(), ..self.which.clone() };
        let (choice, because) = choose(&self.address, &which, &known).await?;
        match choice {
            Choice::There { name } => {
                print(&format!("The provider is {name}: {because}.\n"))?;
                let preset = providers.iter().find(|provider| provider.name == name);
                if let Some(preset) = preset.and_then(|provider| presets::named(provider.preset.as_ref()?)) {
                    Asked::preset(preset).refuse_wrong(&self.settings)?;
                }
                let provider = config.as_ref().and_then(|config| config.providers.get(&name));
                let servers: Vec<_> = Protocol::ALL
                    .into_iter()
                    .filter_map(|protocol| Some((protocol, provider?.endpoint(protocol)?.clone())))
                    .collect();
                let draft = file.with(&name, &self.settings.keys(&servers)?)?;
                Ok(Decided { name, draft, secret: None })
            }
            Choice::New { name, kind } => {
                print(&format!("The provider is {}: {because}.\n", new_provider::title(&kind)))?;
                let name = name.unwrap_or_else(|| new_name(&self.address, &kind, &known));
                let settings = self.settings.clone();
                let (keys, secret) =
                    new_provider::keys(&self.address, &name, &kind, settings, &file.path).await?;
                let draft = file.with(&name, &keys)?;
                Ok(match (config, self.of_account(&draft.config).await?) {
                    // The file is gone, and the account is not.
                    (None, Some(of_account)) if of_account != name => {
                        Decided { draft: file.with(&of_account, &keys)?, name: of_account, secret }
                    }
                    _ => Decided { name, draft, secret },
                })
            }
        }
    }

    /// The provider of the account, where the store has it already.
    async fn of_account(&self, config: &Config) -> Result<Option<String>, Failure> {
        let store = Store::open_existing(&config.state_dir).await?;
        let mut accounts = match store {
            Some(store) => store.accounts_at(&self.address).await?,
            None => Vec::new(),
        };
        let first = accounts.pop();
        Ok(first.filter(|_| accounts.is_empty()).map(|account| account.provider))
    }
}

/// Whoever leaves the `@` out may mean an organisation's provider.
fn refuse_address(address: &str) -> Result<(), Failure> {
    if address.contains('@') {
        return refuse("the address", address, wrong_address);
    }
    let organisations = organisations();
    let next = match nearest(address, organisations.iter().map(String::as_str)) {
        Some(name) => format!("did you mean gatepost setup {name}?"),
        None => format!("for an organisation: gatepost setup {}", organisations.join(", gatepost setup ")),
    };
    let message = format!("the address {address:?} is not one like ann@example.com; {next}");
    Err(Failure::new(Exit::Failed, message))
}

/// Which provider it is.
struct Decided {
    name: String,
    /// The file with all that was said about it.
    draft: Draft,
    /// What was typed for it.
    secret: Option<SecretFile>,
}

/// What comes behind the configuration.
struct Steps<'a> {
    arguments: &'a Mailbox,
    context: &'a Context,
    config: Config,
    was_written: bool,
}

impl Steps<'_> {
    async fn run(&self, provider: &str) -> Result<(), Failure> {
        let store = self.context.store(&self.config).await?;
        let account = self.account(&store, provider).await?;
        let provider = find::provider(&self.config, &account)?;
        self.connect(&store, provider, &account).await?;
        let refused = self.test(&store, provider, &account).await?;
        let given = password::given(self.arguments.login.clone(), &self.config, &store, &account).await?;
        print(&given.words)?;
        if !refused.is_empty() {
            let (refused, address) = (refused.join(" and "), &account.address);
            let message =
                format!("{refused} does not work yet; see above, and then: gatepost test {address}");
            return Err(Failure::new(Exit::Upstream, message));
        }
        let given_path = self.context.config.as_deref();
        print(
            &outcome::in_words(&self.config, &account, &given.user_name, self.was_written, given_path).await,
        )
    }

    async fn account(&self, store: &Store, provider: &str) -> Result<Account, Failure> {
        let address = &self.arguments.address;
        let at = find::at(&self.config, provider)?;
        let there = store.accounts_at(address).await?;
        if let Some(account) = there.into_iter().find(|account| account.provider == provider) {
            if account.disabled {
                let message = format!("{address} is switched off; first: gatepost account enable {address}");
                return Err(Failure::new(Exit::Failed, message));
            }
            let before = account.described();
            let mut after = before.clone();
            self.who().settle(&mut after, Some(account.id), at, store).await?;
            if after != before && !store.update_account(account.id, &after).await? {
                return Err(StoreError::AccountGone.into());
            }
            done(&format!("The account {address} is there already."))?;
        } else {
            let mut account = NewAccount {
                address: address.clone(),
                provider: provider.to_owned(),
                ..NewAccount::default()
            };
            self.who().settle(&mut account, None, at, store).await?;
            store.add_account(&account, None).await?;
            done(&format!("The account {address} was added."))?;
        }
        find::account(store, address, Some(provider)).await
    }

    /// Who is to consent. Of a shared mailbox that can be left open: whoever does it is asked about and kept.
    fn who(&self) -> Who {
        let Consent { owner, shared, .. } = self.arguments.consent.clone();
        Who { shared: shared && owner.is_some(), owner, ..Who::default() }
    }

    async fn connect(&self, store: &Store, provider: &Provider, account: &Account) -> Result<(), Failure> {
        if let Some(by) = connected(provider, account, store).await? {
            return done(&format!("{} is connected to {} already{by}.", account.address, provider.name));
        }
        let takes_password = provider.oauth().is_none_or(|client| client.grant == GrantType::Password);
        if takes_password && self.arguments.login.password_stdin && !question::is_possible() {
            let address = &account.address;
            let message = format!(
                "standard input holds one password, which is for the mail program; first let the provider have the \
                 mailbox's: gatepost connect {address}"
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        print("\n")?;
        let Consent { shared, way, .. } = self.arguments.consent;
        // Whoever named a way of consenting could not know that nobody has to.
        let way = if provider.oauth().is_some() { way } else { Named::default() };
        // Who consents is known by the account now.
        let consent = Consent { owner: None, shared: shared && account.owner.is_none(), way };
        consent.connect(&self.config, store, account).await
    }

    /// The logins that the provider refuses. Fails where nothing works at all.
    async fn test(
        &self,
        store: &Store,
        provider: &Arc<Provider>,
        account: &Account,
    ) -> Result<Vec<String>, Failure> {
        if self.arguments.no_test {
            return Ok(Vec::new());
        }
        // What is well on the way there is nothing that anybody waits for here.
        let told = |step: &Step| match step.part {
            Part::Configuration | Part::Server if step.is_well() => Ok(()),
            _ => print(&test::shown(step)),
        };
        let time = self.config.limits.login;
        let (_, steps) = test::try_all(provider, account, store, time, Vec::new(), told).await?;
        let logins = steps.iter().filter(|step| step.part == Part::Login);
        let refused: Vec<_> =
            logins.clone().filter(|step| !step.is_well()).map(|step| step.name.clone()).collect();
        if refused.len() == logins.count() {
            let address = &account.address;
            let next = match provider.login {
                Login::Password => format!("; where its password has changed: gatepost connect {address}"),
                Login::OAuth(_) => String::new(),
            };
            return Err(Failure::new(Exit::Upstream, format!("{address} does not work yet{next}")));
        }
        Ok(refused)
    }
}

/// By whom the account is connected, in words; `None` where it has to be connected first.
async fn connected(provider: &Provider, account: &Account, store: &Store) -> Result<Option<String>, Failure> {
    let Login::OAuth(client) = &provider.login else {
        return Ok(store.mailbox_password(account.id).await?.map(|_| ", by its password".to_owned()));
    };
    let tokens = interrupt::tokens(store.clone());
    let token = progress::shown("token", tokens.access_token(client, account)).await;
    tokens.settled().await;
    match token {
        Ok(_) => {
            let grant = store.grant(&grant_key(client, account)).await?;
            let by = grant.and_then(|grant| grant.identity).map(|identity| format!(", by {identity}"));
            Ok(Some(by.unwrap_or_default()))
        }
        Err(TokenError::NotConnected { .. } | TokenError::GrantRefused { .. }) => Ok(None),
        Err(error) => Err(Failure::new(Exit::Upstream, error)),
    }
}

fn done(what: &str) -> Result<(), Failure> {
    print(&format!("{} {what}\n", style::tick()))
}
