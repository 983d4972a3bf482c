//! A provider without an account: whether its servers can be reached and trusted, offer what clients are promised, and whether
//! the token endpoint takes Gatepost as its client. What `gatepost check --online` asks.

use std::sync::Arc;

use gatepost_protocol::Protocol;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use super::server::{Offered, Server};
use super::{Outcome, Part, Remark, Step, Trouble};
use crate::config::Provider;
use crate::config::provider::{Endpoint, OAuthClient};
use crate::diagnosis::{self, Place};
use crate::oauth::diagnosis::aadsts_number;
use crate::oauth::probe::{self, Answer};

/// Everything, in an order that is always the same.
pub async fn steps(provider: Arc<Provider>) -> Vec<Step> {
    let (smtp, pop3, imap, token_endpoint, client) = tokio::join!(
        of_mail(&provider, Protocol::Smtp),
        of_mail(&provider, Protocol::Pop3),
        of_mail(&provider, Protocol::Imap),
        of_tokens(&provider),
        of_client(&provider),
    );
    [smtp, pop3, imap, token_endpoint, client].concat()
}

async fn of_mail(provider: &Provider, protocol: Protocol) -> Vec<Step> {
    let (Some(server), Some(endpoint)) = (Server::of_mail(provider, protocol), provider.endpoint(protocol))
    else {
        return Vec::new();
    };
    let (told, steps) = unbounded_channel();
    let offered = server.reach(&told).await;
    drop(told);
    let mut steps = all(steps).await;
    if let Some(offered) = offered {
        let wants_token = provider.oauth().is_some();
        steps.push(Step {
            name: format!("{protocol} capabilities"),
            part: Part::Server,
            user_name: None,
            took: None,
            outcome: compared(protocol, endpoint, &offered, wants_token),
        });
    }
    steps
}

async fn of_tokens(provider: &Provider) -> Vec<Step> {
    let Some(client) = provider.oauth() else { return Vec::new() };
    let Some(server) = Server::of_tokens(client).await else { return Vec::new() };
    let (told, steps) = unbounded_channel();
    server.reach(&told).await;
    drop(told);
    all(steps).await
}

async fn all(mut steps: UnboundedReceiver<Step>) -> Vec<Step> {
    let mut told = Vec::new();
    while let Some(step) = steps.recv().await {
        told.push(step);
    }
    told
}

async fn of_client(provider: &Provider) -> Vec<Step> {
    let Some(client) = provider.oauth() else { return Vec::new() };
    let begin = Instant::now();
    let outcome = match probe::ask(client).await {
        Answer::Known => {
            Outcome::well(format!("{} is known there, and may ask for tokens", client.client_id))
        }
        Answer::NotAsked => {
            Outcome::NotTried("a service account signs for each mailbox: gatepost test tries it".to_owned())
        }
        Answer::Refused(error) => Outcome::Failed(refused(client, &error.to_string(), error.lasts())),
    };
    let took = (!matches!(outcome, Outcome::NotTried(_))).then(|| begin.elapsed());
    vec![Step { name: "OAuth client".to_owned(), part: Part::Secret, user_name: None, took, outcome }]
}

fn refused(client: &OAuthClient, said: &str, lasts: bool) -> Trouble {
    let unknown = if lasts {
        "The provider does not accept Gatepost as its OAuth client"
    } else {
        "The token endpoint does not answer as it should"
    };
    let row = diagnosis::find(Place::Token, said);
    let mut trouble = Trouble::new(row, unknown, said, "");
    if row.is_none() {
        trouble.fix = format!(
            "Compare `client_id`, `tenant` and `client_secret` or `client_certificate` of the provider `{}` with what its \
             registration says.",
            client.provider
        );
    }
    if let Some(code) = mistake(said) {
        trouble.title = format!("{} ({code})", trouble.title);
    }
    trouble
}

/// Entra's numbers for what is written wrong in the configuration, by the code of the mistake: another value than the secret's, a
/// secret where the registered application has none, and none where it has one.
const MISTAKES: [(&str, &str); 3] = [("7000215", "L14"), ("700025", "L15"), ("7000218", "L15")];

fn mistake(said: &str) -> Option<&'static str> {
    let (_, description) = said.split_once(": ")?;
    let number = aadsts_number(description)?;
    MISTAKES.iter().find(|(known, _)| *known == number).map(|(_, code)| *code)
}

/// What clients are promised before they log in, beside what the server says.
fn compared(protocol: Protocol, endpoint: &Endpoint, offered: &Offered, wants_token: bool) -> Outcome {
    let missing: Vec<&str> = endpoint
        .capabilities
        .iter()
        .filter(|promised| !offered.inside_tls.iter().any(|offer| honours(offer, promised)))
        .map(String::as_str)
        .collect();
    let mut remarks = Vec::new();
    let mut detail = "all that clients are promised is offered".to_owned();
    if endpoint.capabilities.is_empty() {
        "clients are promised nothing".clone_into(&mut detail);
    } else if !missing.is_empty() && protocol == Protocol::Imap {
        // RFC 3501 section 6.1.1: a server may offer more behind the login, and many do.
        detail = format!("not offered before a login, as is usual: {}", missing.join(", "));
    } else if !missing.is_empty() {
        detail = format!("not all that clients are promised is offered: {}", missing.join(", "));
        remarks.push(Remark {
            title: format!("{protocol} clients are promised what the server does not offer"),
            cause: "A client that relies on it fails after the login.".to_owned(),
            fix: format!(
                "Leave {} out of `capabilities` of this server in the configuration, or write what the server says: {}",
                missing.join(", "),
                offered.inside_tls.join(", ")
            ),
        });
    }
    if wants_token && !offers_tokens(offered) {
        remarks.push(Remark {
            title: format!("The {protocol} server does not offer a login with a token"),
            cause: "Neither XOAUTH2 nor OAUTHBEARER is among what it says.".to_owned(),
            fix: "Ask the provider whether this server takes OAuth logins, and which one does.".to_owned(),
        });
    }
    Outcome::Well { detail, remarks }
}

/// Whether an offer holds all of what is promised: the keyword, every parameter, and of SIZE at least as much.
fn honours(offer: &str, promised: &str) -> bool {
    let words =
        |text: &str| -> Vec<String> { text.split_ascii_whitespace().map(str::to_ascii_uppercase).collect() };
    let (offer, promised) = (words(offer), words(promised));
    let (Some((keyword, has)), Some((wanted, wants))) = (offer.split_first(), promised.split_first()) else {
        return false;
    };
    if keyword != wanted {
        return false;
    }
    if keyword == "SIZE" {
        let size = |words: &[String]| {
            words
                .first()
                .and_then(|word| word.parse::<u64>().ok())
                .filter(|size| *size > 0)
                .unwrap_or(u64::MAX)
        };
        return size(has) >= size(wants);
    }
    wants.iter().all(|word| has.contains(word))
}

fn offers_tokens(offered: &Offered) -> bool {
    offered
        .inside_tls
        .iter()
        .flat_map(|line| line.split([' ', '=']))
        .any(|word| word.eq_ignore_ascii_case("XOAUTH2") || word.eq_ignore_ascii_case("OAUTHBEARER"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::provider::{TlsStream, UpstreamTls};

    #[test]
    fn what_entra_says_of_the_configuration_has_the_code_of_the_mistake() {
        for (said, expected) in [
            ("invalid_client (HTTP 401): AADSTS7000215: Invalid client secret provided.", Some("L14")),
            ("invalid_client (HTTP 401): AADSTS700025: Client is public", Some("L15")),
            ("invalid_client (HTTP 401): AADSTS7000218: The request body must contain", Some("L15")),
            ("unauthorized_client (HTTP 400): AADSTS700016: Application was not found", None),
            ("invalid_client (HTTP 401)", None),
        ] {
            assert_eq!(mistake(said), expected, "{said}");
        }
    }

    #[test]
    fn an_offer_holds_what_is_promised_or_not() {
        for (offer, promised, expected) in [
            ("PIPELINING", "pipelining", true),
            ("SIZE 100", "SIZE 100", true),
            ("SIZE 100", "SIZE 101", false),
            ("SIZE", "SIZE 7", true),
            ("SIZE 0", "SIZE 7", true),
            ("SIZE 100", "SIZE", false),
            ("XLIST A B", "XLIST B", true),
            ("XLIST A", "XLIST B", false),
            ("8BITMIME", "BINARYMIME", false),
        ] {
            assert_eq!(honours(offer, promised), expected, "{offer} {promised}");
        }
    }

    #[test]
    fn what_clients_are_promised_in_vain_is_remarked() {
        let endpoint = |capabilities: &[&str]| Endpoint {
            host: "mail.example".to_owned(),
            port: 587,
            tls: UpstreamTls::StartTls,
            capabilities: capabilities.iter().map(|text| (*text).to_owned()).collect(),
            sessions: None,
            mechanism: None,
            tls_stream: TlsStream::default(),
        };
        let offered = |lines: &[&str]| Offered {
            inside_tls: lines.iter().map(|text| (*text).to_owned()).collect(),
            ..Offered::default()
        };
        let auth = "AUTH LOGIN XOAUTH2";
        for (protocol, promised, lines, wants_token, remarks) in [
            (Protocol::Smtp, &["SIZE 7"][..], &["SIZE 9", auth][..], true, 0),
            (Protocol::Smtp, &["SIZE 7", "DSN"][..], &["SIZE 9", auth][..], true, 1),
            (Protocol::Smtp, &["SIZE 7"][..], &["SIZE 6", "AUTH LOGIN"][..], true, 2),
            (Protocol::Smtp, &[][..], &["AUTH LOGIN"][..], false, 0),
            (Protocol::Pop3, &["TOP"][..], &["SASL PLAIN XOAUTH2"][..], true, 1),
            (Protocol::Imap, &["IDLE"][..], &["IMAP4rev1", "AUTH=XOAUTH2"][..], true, 0),
        ] {
            let outcome = compared(protocol, &endpoint(promised), &offered(lines), wants_token);
            let count = if let Outcome::Well { remarks, .. } = &outcome { remarks.len() } else { 9 };
            assert_eq!(count, remarks, "{promised:?} {lines:?}: {outcome:?}");
        }
    }
}
