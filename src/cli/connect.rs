//! `gatepost connect ADDRESS`: somebody consents in a browser, or the application itself gets its first token. The daemon
//! need not be told: the store is the truth, and the next login reads it.

use std::io::{BufRead, Read};
use std::sync::Arc;

use super::{Context, Exit, Failure, style};
use crate::account::Account;
use crate::config::Provider;
use crate::config::provider::GrantType;
use crate::oauth::authorization_code::{Authorization, ConsentError};
use crate::oauth::redirect::{Loopback, redeem_and_commit};
use crate::oauth::{Tokens, grant_key};
use crate::store::Store;
use crate::store::grants::NewTokens;

/// The longest line that is read for `--paste`.
const MAX_PASTE: u64 = 64 * 1024;

/// Scopes that providers grant without naming them in their answer.
const SILENT_SCOPES: [&str; 4] = ["email", "offline_access", "openid", "profile"];

/// `gatepost connect`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The mailbox
    address: String,
    /// The account's provider, where the address exists at several
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Read the address that the browser ends at from standard input: for a machine without a browser
    #[arg(long)]
    paste: bool,
    /// Print the address without opening a browser
    #[arg(long)]
    no_browser: bool,
}

impl Arguments {
    /// Ends well when the grant is committed.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        let account = super::find::account(&store, &self.address, self.provider.as_deref()).await?;
        let provider = config.providers.get(&account.provider).ok_or_else(|| {
            let message = format!(
                "{}: its provider {:?} is not in the configuration",
                account.address, account.provider
            );
            Failure::new(Exit::Configuration, message)
        })?;
        match provider.oauth.grant {
            GrantType::AuthorizationCode => {
                let consented = if self.paste {
                    pasted(provider, &account, &store).await
                } else {
                    in_browser(provider, &account, &store, !self.no_browser && has_display()).await
                };
                let tokens = consented.map_err(|error| told(&account, &error))?;
                print_consent(provider, &account, &tokens);
            }
            GrantType::ClientCredentials => application(provider, &account, store).await?,
        }
        println!("Next: gatepost test {}", account.address);
        Ok(())
    }
}

async fn in_browser(
    provider: &Provider,
    account: &Account,
    store: &Store,
    open: bool,
) -> Result<NewTokens, ConsentError> {
    let loopback = Loopback::bind(provider).await?;
    let authorization = Authorization::begin(provider, &account.address, loopback.redirect_uri())?;
    print_address(account, &authorization);
    println!(
        "Waiting up to 10 minutes. Is your browser on another machine? Then stop this, and use --paste.\n"
    );
    if open {
        let url = authorization.url().to_string();
        // A thread of its own, because some browsers keep their caller waiting; the printed address does as well.
        std::thread::spawn(move || webbrowser::open(&url));
    }
    loopback.receive(&authorization, store, &grant_key(provider, account)).await
}

async fn pasted(provider: &Provider, account: &Account, store: &Store) -> Result<NewTokens, ConsentError> {
    // Nobody listens there: the browser shows an error, and its address line holds what we need.
    let redirect_uri = format!("http://{}", provider.oauth.redirect_host);
    let authorization = Authorization::begin(provider, &account.address, redirect_uri)?;
    print_address(account, &authorization);
    println!(
        "In the end the browser shows a page that cannot be opened, at http://{}/?code=…\n\
         Paste that whole address here:",
        provider.oauth.redirect_host
    );
    let code = loop {
        let line = read_line().await.ok_or(ConsentError::NotUnderstood)?;
        match authorization.code(&line) {
            Err(stray @ (ConsentError::NotUnderstood | ConsentError::WrongState)) => eprintln!("{stray}"),
            code => break code?,
        }
    };
    redeem_and_commit(&authorization, code, store, &grant_key(provider, account)).await
}

/// `None` at the end of the input.
async fn read_line() -> Option<String> {
    let read = || {
        let mut line = String::new();
        let length = std::io::stdin().lock().take(MAX_PASTE).read_line(&mut line).ok()?;
        (length > 0).then_some(line)
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

async fn application(provider: &Arc<Provider>, account: &Account, store: Store) -> Result<(), Failure> {
    let tokens = Tokens::new(store);
    tokens
        .connect_application(provider, account)
        .await
        .map_err(|error| Failure::new(Exit::Upstream, error))?;
    println!(
        "{} Gatepost itself is connected to {} (client credentials). Nobody has to consent, and every account there is \
         served by this token.",
        style::tick(),
        provider.name
    );
    Ok(())
}

fn print_address(account: &Account, authorization: &Authorization<'_>) {
    println!("Open this address in a browser, and sign in as {}:\n", account.address);
    println!("{}\n", authorization.url());
}

fn print_consent(provider: &Provider, account: &Account, tokens: &NewTokens) {
    println!("{} {} is connected to {}.", style::tick(), account.address, provider.name);
    println!("Scopes granted: {}", tokens.scopes.join(" "));
    let missing = missing_scopes(&provider.oauth.scopes, &tokens.scopes);
    if !missing.is_empty() {
        println!("Not granted, though asked for: {}", missing.join(" "));
    }
    match &tokens.identity {
        Some(identity) if identity.eq_ignore_ascii_case(&account.address) => {
            println!("Consent given by {identity}.");
        }
        Some(identity) => println!(
            "Note: {identity} consented, not {address}. That is right for a shared mailbox that {identity} may open; \
             else run this again, and choose {address} in the browser.",
            address = account.address
        ),
        None => {}
    }
}

/// Asked for, not granted, and worth a word.
fn missing_scopes<'a>(asked: &'a [String], granted: &[String]) -> Vec<&'a str> {
    asked
        .iter()
        .filter(|scope| !SILENT_SCOPES.contains(&scope.as_str()))
        .filter(|scope| !granted.iter().any(|granted| granted.eq_ignore_ascii_case(scope)))
        .map(String::as_str)
        .collect()
}

/// Whether a browser that we open would be seen by whoever typed the command.
fn has_display() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if cfg!(any(target_os = "macos", target_os = "windows")) {
        !is_set("SSH_CONNECTION")
    } else {
        is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
    }
}

fn told(account: &Account, error: &ConsentError) -> Failure {
    let exit = match error {
        ConsentError::NoConsent(_) => Exit::Configuration,
        ConsentError::Store(_) => Exit::State,
        ConsentError::Denied(_) | ConsentError::Endpoint { .. } | ConsentError::NoRefreshToken => {
            Exit::Upstream
        }
        ConsentError::Listen(_)
        | ConsentError::NotUnderstood
        | ConsentError::TimedOut
        | ConsentError::WrongState => Exit::Failed,
    };
    Failure::new(exit, format!("{} is not connected: {error}", account.address))
}

#[cfg(test)]
mod tests {
    use super::missing_scopes;

    #[test]
    fn only_scopes_that_providers_name_can_be_missing() {
        let scopes = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let asked = scopes("https://mail.example/SMTP.Send https://mail.example/POP offline_access openid");
        assert_eq!(
            missing_scopes(&asked, &scopes("https://mail.example/smtp.send")),
            ["https://mail.example/POP"]
        );
        assert!(missing_scopes(&asked, &asked).is_empty());
    }
}
