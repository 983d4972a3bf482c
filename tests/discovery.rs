//! The provider of an address, found by its domain, by DNS, and by what the domain serves; and why none was found.

// A test says what it expects by failing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/dns.rs"]
mod dns;
#[path = "support/token_endpoint.rs"]
mod token_endpoint;

use gatepost::config::provider::UpstreamTls::{self, Implicit, StartTls};
use gatepost::discovery::{Because, Found, Network, Server, Servers};
use gatepost::tls::Trust;
use serde_json::json;

use dns::{DnsServer, Zone};
use token_endpoint::TokenEndpoint;

const REL: &str = "http://openid.net/specs/connect/1.0/issuer";

/// Only the DNS server; domains serve nothing.
fn network(dns: &DnsServer) -> Network {
    // Nobody listens there: the port belongs to the test, and is not TCP's.
    Network { dns: Some(dns.address), https_port: dns.address.port(), trust: Trust::load(None).unwrap() }
}

fn preset(name: &str, because: Because) -> Found {
    Found::Preset { preset: name.to_owned(), because }
}

fn server(host: &str, port: u16, tls: UpstreamTls) -> Server {
    Server { host: host.to_owned(), port, tls }
}

/// What was found where it is no provider.
fn nothing(found: Found) -> (Servers, String) {
    match found {
        Found::Nothing { servers, why } => (servers, why.join("\n")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_preset_is_found_by_the_domain_and_by_where_its_mail_is_delivered() {
    let zone = Zone::default()
        .mx("contoso.test", 10, "contoso-test.mail.protection.outlook.com")
        .mx("fabrikam.test", 20, "mx.elsewhere.test")
        .mx("fabrikam.test", 10, "ALT1.ASPMX.L.Google.com")
        .mx("late.test", 10, "filter.elsewhere.test")
        .mx("late.test", 20, "aspmx.l.google.com")
        .mx("gmail.com", 10, "mx.elsewhere.test");
    let dns = DnsServer::start(zone).await;
    let mx = |host: &str| Because::Mx(host.to_owned());
    for (address, expected) in [
        ("ann@gmail.com", preset("google", Because::Domain)),
        ("Ann@GMail.com", preset("google", Because::Domain)),
        ("ann@contoso.test", preset("microsoft365", mx("contoso-test.mail.protection.outlook.com"))),
        ("ann@CONTOSO.test", preset("microsoft365", mx("contoso-test.mail.protection.outlook.com"))),
        ("contoso.test", preset("microsoft365", mx("contoso-test.mail.protection.outlook.com"))),
        ("ann@fabrikam.test", preset("google", mx("alt1.aspmx.l.google.com"))),
        ("ann@late.test", preset("google", mx("aspmx.l.google.com"))),
    ] {
        assert_eq!(network(&dns).provider_of(address).await, expected, "{address}");
    }
}

#[tokio::test]
async fn mail_servers_are_those_that_the_domain_announces() {
    let zone = Zone::default()
        .srv("_submission._tcp.contoso.test", [0, 1, 587], "smtp.contoso.test")
        .srv("_imap._tcp.contoso.test", [0, 1, 143], "old.contoso.test")
        .srv("_imaps._tcp.contoso.test", [20, 1, 994], "spare.contoso.test")
        .srv("_imaps._tcp.contoso.test", [10, 1, 995], "light.contoso.test")
        .srv("_imaps._tcp.contoso.test", [10, 5, 993], "imap.contoso.test")
        .srv("_pop3s._tcp.contoso.test", [0, 0, 0], ".");
    let dns = DnsServer::start(zone).await;
    let (servers, why) = nothing(network(&dns).provider_of("ann@contoso.test").await);
    assert_eq!(
        servers,
        Servers {
            smtp: Some(server("smtp.contoso.test", 587, StartTls)),
            pop3: None,
            imap: Some(server("imap.contoso.test", 993, Implicit)),
        }
    );
    assert!(why.starts_with("contoso.test has no MX record\nhttps://contoso.test:"), "{why}");
    assert_eq!(why.lines().count(), 3, "{why}");
}

#[tokio::test]
async fn an_issuer_is_found_by_webfinger() {
    let (dns, endpoint) = (DnsServer::start(Zone::default()).await, TokenEndpoint::start().await);
    let https_port = endpoint.url().port().unwrap();
    let trust = Trust::load(Some(&endpoint.ca_file())).unwrap();
    let network = Network { dns: Some(dns.address), https_port, trust };
    let (base, issuer) =
        (format!("https://localhost:{https_port}"), format!("https://localhost:{https_port}/people"));
    let link = |rel: &str, href: &str| json!({ "links": [{ "rel": "self" }, { "rel": rel, "href": href }] });
    let document = json!({ "issuer": issuer, "token_endpoint": format!("{base}/token") });
    // The issuer's document stands at the address of RFC 8414, which is under /.well-known/ here.
    endpoint.publishes("oauth-authorization-server/people", 200, &document);
    for (finger, expected) in [
        (link(REL, &issuer), "found"),
        (link("http://example.test/other", &issuer), "webfinger: names no issuer"),
        (link(REL, "http://localhost/people"), "webfinger: names an issuer that is no https address"),
        (link(REL, "https://localhost/\u{1b}[2J"), "webfinger: names an issuer that is no https address"),
        (link(REL, &format!("{base}/others")), "/others/.well-known/openid-configuration: "),
        (json!({}), "webfinger: names no issuer"),
        (json!("text"), "webfinger: the answer is not JSON of RFC 7033"),
    ] {
        endpoint.publishes("webfinger", 200, &finger);
        match network.provider_of("ann@localhost").await {
            Found::Issuer { issuer: found, servers } => {
                assert_eq!((expected, found, servers), ("found", issuer.clone(), Servers::default()));
            }
            other => {
                let why = nothing(other).1;
                assert!(why.contains(expected) && !why.contains('\u{1b}'), "{expected}: {why}");
            }
        }
    }
    let asked = &endpoint.visits()[0];
    let expected = "/.well-known/webfinger?resource=acct%3Aann%40localhost&rel=http%3A%2F%2Fopenid.net";
    assert!(asked.starts_with(expected), "{asked}");
}

#[tokio::test]
async fn a_domain_may_be_an_issuer_itself() {
    let (dns, endpoint) = (DnsServer::start(Zone::default()).await, TokenEndpoint::start().await);
    let https_port = endpoint.url().port().unwrap();
    let trust = Trust::load(Some(&endpoint.ca_file())).unwrap();
    let network = Network { dns: Some(dns.address), https_port, trust };
    let issuer = format!("https://localhost:{https_port}");
    let (_, why) = nothing(network.provider_of("ann@localhost").await);
    let told = [
        "localhost has no MX record".to_owned(),
        format!("{issuer}/.well-known/webfinger: HTTP status 404"),
        format!("{issuer}/.well-known/openid-configuration: HTTP status 404"),
    ];
    assert_eq!(why, told.join("\n"));
    endpoint.publishes("openid-configuration", 200, &json!({ "issuer": issuer }));
    let found = network.provider_of("ann@localhost").await;
    assert_eq!(found, Found::Issuer { issuer, servers: Servers::default() });
}

#[tokio::test]
async fn without_a_network_it_ends_and_says_why() {
    let dns = DnsServer::start(Zone::silent()).await;
    let network = network(&dns);
    assert_eq!(network.provider_of("ann@gmail.com").await, preset("google", Because::Domain));
    let (servers, why) = nothing(network.provider_of("ann@contoso.test").await);
    assert_eq!(servers, Servers::default());
    assert!(why.starts_with("no answer from DNS about MX of contoso.test\n"), "{why}");
    let (_, why) = nothing(network.provider_of("ann@192.0.2.1").await);
    assert_eq!(why, "`ann@192.0.2.1` has no domain that could be asked");
}
