//! Consent in a browser: on this machine, where it comes back to a page of ours, or elsewhere, where somebody pastes the
//! address at which it ended.

use std::io::{BufRead, Read};

use super::super::{Exit, Failure, complain, progress, table::print};
use super::told;
use crate::config::provider::OAuthClient;
use crate::oauth::authorization_code::Authorization;
use crate::oauth::consent::{ConsentError, Destination};
use crate::oauth::redirect::{Loopback, redeem_and_commit};
use crate::store::grants::NewTokens;

/// The longest line that is read for `--paste`.
const MAX_PASTE: u64 = 64 * 1024;

/// In a browser on this machine, which is opened if so wished.
pub(super) async fn here(
    client: &OAuthClient,
    destination: &Destination<'_>,
    open: bool,
) -> Result<Result<NewTokens, ConsentError>, Failure> {
    let address = destination.address;
    let failed = |error| told(address, &error);
    let loopback = Loopback::bind(client).await.map_err(failed)?;
    let redirect_uri = loopback.redirect_uri();
    let authorization = Authorization::begin(client, destination.expected(), redirect_uri).map_err(failed)?;
    print(&format!(
        "{}\nWaiting up to 10 minutes. Is your browser on another machine? Then stop\nthis, and use --paste.\n\n",
        address_in_words(destination.expected(), &authorization)
    ))?;
    if open {
        let url = authorization.url().to_string();
        // A thread of its own, because some browsers keep their caller waiting; the printed address does as well.
        std::thread::spawn(move || webbrowser::open(&url));
    }
    Ok(loopback.receive(&authorization, destination).await)
}

/// In a browser anywhere; the address comes from standard input.
pub(super) async fn pasted(
    client: &OAuthClient,
    destination: &Destination<'_>,
) -> Result<Result<NewTokens, ConsentError>, Failure> {
    let address = destination.address;
    // Nobody listens there: the browser shows an error, and its address line holds what we need.
    let redirect_uri = client.pasted_redirect_uri();
    let end = redirect_uri.trim_end_matches('/').to_owned();
    let authorization = Authorization::begin(client, destination.expected(), redirect_uri)
        .map_err(|error| told(address, &error))?;
    print(&format!(
        "{}\nIn the end the browser shows a page that cannot be opened, at {end}/?code=…\n\
         Paste that whole address here:\n",
        address_in_words(destination.expected(), &authorization),
    ))?;
    let code = loop {
        let Some(line) = read_line().await else {
            let message = format!("{address} is not connected: the input ended without the address");
            return Err(Failure::new(Exit::Failed, message));
        };
        match authorization.code(&line) {
            Err(stray @ (ConsentError::NotUnderstood | ConsentError::WrongState)) => {
                complain(&format!("{stray}\nPaste it again, or stop with Ctrl-C:"));
            }
            Err(error) => return Ok(Err(error)),
            Ok(code) => break code,
        }
    };
    let redeemed = redeem_and_commit(&authorization, code, destination);
    Ok(progress::shown("redeeming the code", redeemed).await)
}

/// A line of standard input; `None` at its end.
pub(in crate::cli) async fn read_line() -> Option<String> {
    let read = || {
        let mut line = String::new();
        let length = std::io::stdin().lock().take(MAX_PASTE).read_line(&mut line).ok()?;
        (length > 0).then_some(line)
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

fn address_in_words(who: &str, authorization: &Authorization<'_>) -> String {
    format!("Open this address in a browser, and sign in as {who}:\n\n{}\n", authorization.url())
}
