//! `gatepost connect ADDRESS`: somebody consents in a browser or types a password, or the application itself gets its first
//! token. The daemon
//! need not be told: the store is the truth, and the next login reads it.

use std::fmt::Write as _;
use std::io::{BufRead, Read};
use std::sync::Arc;

use super::table::print;
use super::{Context, Exit, Failure, find, mailbox_password, progress, style};
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
        let account = find::account(&store, &self.address, self.provider.as_deref()).await?;
        let provider = find::provider(&config, &account)?;
        match provider.oauth.grant {
            GrantType::AuthorizationCode => {
                let consented = if self.paste {
                    pasted(provider, &account, &store).await
                } else {
                    in_browser(provider, &account, &store, !self.no_browser && has_display()).await
                };
                print(&consent_in_words(provider, &account, &consented?))?;
            }
            GrantType::Password => {
                let tokens = mailbox_password::connect(provider, &account, &store).await?;
                print(&consent_in_words(provider, &account, &tokens))?;
            }
            GrantType::ClientCredentials | GrantType::ServiceAccount => {
                application(provider, &account, store).await?;
            }
        }
        print(&format!("Next: gatepost test {}\n", account.address))
    }
}

async fn in_browser(
    provider: &Provider,
    account: &Account,
    store: &Store,
    open: bool,
) -> Result<NewTokens, Failure> {
    let failed = |error| told(account, &error);
    let loopback = Loopback::bind(provider).await.map_err(failed)?;
    let redirect_uri = loopback.redirect_uri();
    let authorization = Authorization::begin(provider, &account.address, redirect_uri).map_err(failed)?;
    print(&format!(
        "{}\nWaiting up to 10 minutes. Is your browser on another machine? Then stop this, and use --paste.\n\n",
        address_in_words(account, &authorization)
    ))?;
    if open {
        let url = authorization.url().to_string();
        // A thread of its own, because some browsers keep their caller waiting; the printed address does as well.
        std::thread::spawn(move || webbrowser::open(&url));
    }
    loopback.receive(&authorization, store, &grant_key(provider, account)).await.map_err(failed)
}

async fn pasted(provider: &Provider, account: &Account, store: &Store) -> Result<NewTokens, Failure> {
    let failed = |error| told(account, &error);
    // Nobody listens there: the browser shows an error, and its address line holds what we need.
    let redirect_uri = format!("http://{}", provider.oauth.redirect_host);
    let authorization = Authorization::begin(provider, &account.address, redirect_uri).map_err(failed)?;
    print(&format!(
        "{}\nIn the end the browser shows a page that cannot be opened, at http://{}/?code=…\n\
         Paste that whole address here:\n",
        address_in_words(account, &authorization),
        provider.oauth.redirect_host
    ))?;
    let code = loop {
        let Some(line) = read_line().await else {
            let message =
                format!("{} is not connected: the input ended without the address", account.address);
            return Err(Failure::new(Exit::Failed, message));
        };
        match authorization.code(&line) {
            Err(stray @ (ConsentError::NotUnderstood | ConsentError::WrongState)) => {
                eprintln!("{stray}\nPaste it again, or stop with Ctrl-C:");
            }
            code => break code.map_err(failed)?,
        }
    };
    let key = grant_key(provider, account);
    let redeemed = redeem_and_commit(&authorization, code, store, &key);
    progress::shown("redeeming the code", redeemed).await.map_err(failed)
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
    progress::shown("token", tokens.connect_application(provider, account))
        .await
        .map_err(|error| Failure::new(Exit::Upstream, error))?;
    let (tick, name) = (style::tick(), &provider.name);
    print(&if provider.oauth.grant == GrantType::ServiceAccount {
        let (address, service_account) = (&account.address, &provider.oauth.client_id);
        format!(
            "{tick} {address} is connected to {name} by the service account {service_account}. Nobody has to consent.\n"
        )
    } else {
        format!(
            "{tick} Gatepost itself is connected to {name} (client credentials). Nobody has to consent, and every account \
             there is served by this token.\n"
        )
    })
}

fn address_in_words(account: &Account, authorization: &Authorization<'_>) -> String {
    format!(
        "Open this address in a browser, and sign in as {}:\n\n{}\n",
        account.address,
        authorization.url()
    )
}

fn consent_in_words(provider: &Provider, account: &Account, tokens: &NewTokens) -> String {
    let mut text = format!(
        "{} {} is connected to {}.\nScopes granted: {}\n",
        style::tick(),
        account.address,
        provider.name,
        tokens.scopes.join(" ")
    );
    let missing = missing_scopes(&provider.oauth.scopes, &tokens.scopes);
    if !missing.is_empty() {
        let _ = writeln!(text, "Not granted, though asked for: {}", missing.join(" "));
    }
    let _ = match &tokens.identity {
        Some(identity) if identity.eq_ignore_ascii_case(&account.address) => {
            writeln!(text, "Consent given by {identity}.")
        }
        Some(identity) => writeln!(
            text,
            "Note: {identity} consented, not {address}. That is right for a shared mailbox that {identity} may open; \
             else run this again, and choose {address} in the browser.",
            address = account.address
        ),
        None => Ok(()),
    };
    text
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
