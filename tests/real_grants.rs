//! Client authentication at an authorization server that nobody here wrote: a secret in the body, one with awkward characters
//! in the header, and a certificate with either signature. And that the server looks: with another key it gives nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "the support is shared with other tests")]

#[path = "support/application.rs"]
mod application;
#[path = "support/real/mod.rs"]
mod real;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use application::Application;
use real::certificates::Certificates;
use real::gatepost::Gatepost;
use real::oidc::{self, Client, EVERY_MAILBOX, Oidc};

const MARTHA: &str = "martha@example.test";

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Gatepost with client credentials and these keys beside them, in a folder of its own.
fn gatepost(folder: &Path, name: &str, oidc: &Oidc, certificates: &Certificates, keys: &str) -> Gatepost {
    let home = folder.join(name);
    fs::create_dir(&home).unwrap();
    // No mail server is asked here, but a provider has to have one for each listener.
    let servers: String = ["smtp", "pop3", "imap"]
        .map(|protocol| format!("    {protocol}: {{ host: localhost, port: 9, tls: implicit }}\n"))
        .concat();
    let yaml = format!(
        "  real:\n    grant: client_credentials\n    {keys}\n    token_endpoint: {}/token\n    scopes: [{EVERY_MAILBOX}]\n    \
         ca_file: {}\n{servers}",
        oidc.issuer,
        certificates.ca_file.display()
    );
    let gatepost = Gatepost::configured(&home, &yaml);
    gatepost.add_account(MARTHA, "real");
    gatepost
}

#[tokio::test]
async fn each_way_of_proving_who_gatepost_is_gets_a_token() {
    if !oidc::is_installed() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let certificates = Certificates::make(folder.path());
    let application = Application::new();
    let path = |name: &str| folder.path().join(name);
    private(&path("application.pem"), &application.certificate);
    private(&path("application.key"), &application.key);
    private(&path("post.secret"), Client::Service.secret().unwrap());
    private(&path("basic.secret"), "%:+ /&=~-secret-of-the-tests");
    let oidc = Oidc::knowing(&certificates, Some(&path("application.pem"))).await;
    let secret = |name: &str| format!("client_secret: {{ file: {} }}", path(name).display());
    let certificate = |key: &str, algorithm: &str| {
        format!(
            "client_id: gatepost-{algorithm}\n    client_certificate: {{ certificate: {}, key: {}, algorithm: {algorithm} }}",
            path(&format!("{key}.pem")).display(),
            path(&format!("{key}.key")).display()
        )
    };
    for (name, keys) in [
        ("post", format!("client_id: {}\n    {}", Client::Service.id(), secret("post.secret"))),
        (
            "basic",
            format!(
                "client_id: 'gatepost:basic'\n    client_authentication: client_secret_basic\n    {}",
                secret("basic.secret")
            ),
        ),
        ("PS256", certificate("application", "PS256")),
        ("RS256", certificate("application", "RS256")),
    ] {
        let gatepost = gatepost(folder.path(), name, &oidc, &certificates, &keys);
        for _ in 0..2 {
            let told = gatepost.command(&["connect", MARTHA], "");
            assert!(told.contains("Gatepost itself is connected to real"), "{name}: {told}");
        }
    }

    let stranger = Application::new();
    private(&path("stranger.pem"), &stranger.certificate);
    private(&path("stranger.key"), &stranger.key);
    let keys = certificate("stranger", "PS256");
    let gatepost = gatepost(folder.path(), "stranger", &oidc, &certificates, &keys);
    let told = gatepost.failing_command(&["connect", MARTHA], 5);
    assert!(told.contains("invalid_client") && told.contains("client_certificate"), "{told}");
}
