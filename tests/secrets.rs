//! Planted secrets: sessions of every kind, at the most verbose log level in both formats, with providers that say back
//! whatever they were sent; then everything that was logged, said or printed is searched.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatepost::backup::Backup;
use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::oauth::authorization_code::Authorization;
use gatepost::sandbox::{
    Action, CLIENT_ID, CLIENT_SECRET, MailFault, Moment, Personality, Sandbox, TokenFault,
};
use gatepost::tls::authority::Authority;
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};
use gatepost_protocol::secret::Secret;

use support::log::Log;
use support::process;
use support::wire::{Wire, authenticate, login, quit, success};
use support::world::{ADDRESS, PASSWORD, World};

const BODY: &str = "what stands in a message is nobody's business";
/// So much of a secret in a row is a leak.
const PIECE: usize = 20;

const WRONG: &str = "another devices own password";

/// With blanks in it, so that a word of it is not all of it.
const MAILBOX_PASSWORD: &str = "qxzv wkjp-mailbox ypassw hsntd";

const PASSPHRASE: &str = "qzjx passphrase wvkp";

/// A world, what was planted in it, and what came out of it besides the log.
struct Plot {
    world: World,
    secrets: Vec<String>,
    /// What clients heard, and errors and values as they print themselves.
    said: Vec<String>,
}

impl Plot {
    async fn begin() -> Self {
        let world = World::with(UpstreamTls::StartTls, |limits| {
            limits.wrong_password_delay = std::time::Duration::ZERO;
            limits.wrong_passwords = 100;
        })
        .await;
        let key = std::fs::read_to_string(world.state_dir().join("master.key")).unwrap();
        let mut secrets = vec![key.trim().to_owned(), BODY.to_owned()];
        for secret in [PASSWORD, WRONG, CLIENT_SECRET] {
            secrets.push(secret.to_owned());
        }
        let mut plot = Self { world, secrets, said: Vec::new() };
        plot.connect().await;
        plot
    }

    /// Consents again, and plants what that gave.
    async fn connect(&mut self) {
        let code = self.world.connect().await;
        self.secrets.push(code);
        self.plant_tokens().await;
    }

    async fn plant_tokens(&mut self) {
        let grant = self.world.grant().await;
        self.said.push(format!("{grant:?}"));
        for token in [grant.access_token, grant.refresh_token].into_iter().flatten() {
            self.secrets.push(token.expose().clone());
        }
    }

    /// The line that a login is told; the session ends.
    async fn log_in(&mut self, protocol: Protocol) -> String {
        let mut wire = Wire::greeted(&self.world, protocol, ListenerTls::StartTls).await;
        let told = wire.log_in(protocol).await;
        self.said.push(told.clone());
        if told != success(protocol) && protocol == Smtp {
            self.said.push(wire.ask("MAIL FROM:<a@example.com>").await);
        }
        wire.say(format!("{}\r\n", quit(protocol))).await;
        self.said.push(String::from_utf8_lossy(&wire.rest().await).into_owned());
        self.plant_tokens().await;
        told
    }

    /// Every secret in every form that it is sent or stored in.
    fn forms(&self) -> HashSet<String> {
        let forms = self.secrets.iter().flat_map(|secret| {
            let xoauth2 = format!("user={ADDRESS}\x01auth=Bearer {secret}\x01\x01");
            let plain = format!("\0{ADDRESS}\0{secret}");
            let basic = format!("{CLIENT_ID}:{secret}");
            let encoded = [secret, &xoauth2, &plain, &basic].map(|form| BASE64_STANDARD.encode(form));
            encoded.into_iter().map(|form| form.trim_end_matches('=').to_owned()).chain([secret.clone()])
        });
        forms.collect()
    }

    /// Fails where a form of a secret is to be found: a short one as a whole, of a long one every piece of 28 octets.
    fn search(&self, name: &str, text: &str) {
        let forms = self.forms();
        let (long, short): (Vec<_>, Vec<_>) = forms.iter().partition(|form| form.len() > PIECE);
        for form in short {
            let line = text.lines().find(|line| line.contains(form.as_str()));
            assert_eq!(line, None, "{name} holds {form:?}");
        }
        let pieces: HashSet<&[u8]> =
            long.iter().flat_map(|form| form.as_bytes().windows(PIECE).step_by(8)).collect();
        // What begins every XOAUTH2 message, and every AUTH PLAIN, is the address and no secret.
        let public = format!("user={ADDRESS}\x01auth=Bearer ");
        let public = [BASE64_STANDARD.encode(public), BASE64_STANDARD.encode(format!("\0{ADDRESS}\0"))];
        for (at, window) in text.as_bytes().windows(PIECE).enumerate() {
            if pieces.contains(window)
                && !public.iter().any(|text| text.as_bytes().windows(PIECE).any(|part| part == window))
            {
                let around = text.as_bytes().get(at.saturating_sub(200)..at + PIECE).unwrap_or_default();
                unreachable!("{name} holds a piece of a secret: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

async fn sessions_that_work(plot: &mut Plot) {
    let mut smtp = Wire::greeted(&plot.world, Smtp, ListenerTls::StartTls).await;
    for line in ["AUTH LOGIN", &BASE64_STANDARD.encode(ADDRESS)] {
        smtp.ask(line).await;
    }
    assert_eq!(smtp.ask(&BASE64_STANDARD.encode(PASSWORD)).await, success(Smtp));
    for command in [&format!("MAIL FROM:<{ADDRESS}>"), &format!("RCPT TO:<{ADDRESS}>"), "DATA"] {
        smtp.ask(command).await;
    }
    assert!(smtp.ask(&format!("Subject: x\r\n\r\n{BODY}\r\n.")).await.starts_with("250 "));

    let mut pop3 = Wire::greeted(&plot.world, Pop3, ListenerTls::Implicit).await;
    pop3.ask(&format!("USER {ADDRESS}")).await;
    assert_eq!(pop3.ask(&format!("PASS {PASSWORD}")).await, success(Pop3));
    assert!(pop3.ask("RETR 1").await.starts_with("+OK"));
    assert!(String::from_utf8(pop3.read_to_lone_dot().await).unwrap().contains(BODY));

    let (name, password) = (ADDRESS.len(), PASSWORD.len());
    for login in [
        format!("a1 LOGIN {ADDRESS} \"{PASSWORD}\""),
        format!("a1 LOGIN \"{ADDRESS}\" {PASSWORD}"),
        format!("a1 LOGIN {{{name}+}}\r\n{ADDRESS} {{{password}+}}\r\n{PASSWORD}"),
    ] {
        let mut imap = Wire::greeted(&plot.world, Imap, ListenerTls::StartTls).await;
        assert_eq!(imap.ask(&login).await, success(Imap));
        imap.command("a2", "SELECT INBOX").await;
        assert!(String::from_utf8(imap.fetch().await).unwrap().contains(BODY));
        let message = format!("Subject: x\r\n\r\n{BODY}\r\n");
        imap.say(format!("a3 APPEND Drafts {{{}+}}\r\n{message}\r\n", message.len())).await;
        assert!(imap.line().await.starts_with("a3 "));
    }
}

/// What clients get wrong in every protocol, and in this one.
fn bad_logins(protocol: Protocol) -> Vec<String> {
    let password = BASE64_STANDARD.encode(PASSWORD);
    let mut lines = vec![
        login(protocol, WRONG),
        authenticate(protocol, &format!("PLAIN {password}!")),
        // A password where none belongs, or in the wrong order.
        authenticate(protocol, &format!("XOAUTH2 {password}")),
        format!("PASS {PASSWORD}"),
        authenticate(protocol, &format!("LOGIN {password}\r\n*")),
        format!("{}{}", login(protocol, PASSWORD), "A".repeat(20_000)),
    ];
    if protocol != Imap {
        lines.push(PASSWORD.to_owned());
        return lines;
    }
    let (wrong, right) = (WRONG.len(), PASSWORD.len());
    lines.extend([
        format!("a1 LOGIN {ADDRESS} \"{WRONG}\""),
        format!("a1 LOGIN {ADDRESS} {{{wrong}+}}\r\n{WRONG}"),
        format!("a1 LOGIN {{{}+}}\r\n{ADDRESS} {{{wrong}+}}\r\n{WRONG}", ADDRESS.len()),
        // Without a user name, without an end, with too much, and in commands that take none.
        format!("a1 LOGIN \"{PASSWORD}\""),
        format!("a1 LOGIN {ADDRESS} \"{PASSWORD}"),
        format!("a1 LOGIN {ADDRESS} \"{PASSWORD}\\x\" {PASSWORD}"),
        format!("a1 LOGIN {ADDRESS} {{{right}+}}\r\n{PASSWORD} {PASSWORD}"),
        format!("a1 SELECT {{{right}+}}\r\n{PASSWORD}"),
        format!("a1 {PASSWORD} {PASSWORD}"),
        format!("a1 LOGIN {ADDRESS} {{2000+}}\r\n{PASSWORD}"),
        format!("{{{right}+}}\r\n{PASSWORD}"),
    ]);
    lines
}

async fn sessions_that_do_not(plot: &mut Plot) {
    for protocol in Protocol::ALL {
        for line in bad_logins(protocol) {
            let mut wire = Wire::greeted(&plot.world, protocol, ListenerTls::StartTls).await;
            wire.say(format!("{line}\r\n{}\r\n", quit(protocol))).await;
            plot.said.push(String::from_utf8_lossy(&wire.rest().await).into_owned());
        }
        // In clear where it may not be.
        let mut wire = Wire::greeted_in_clear(&plot.world, protocol).await;
        plot.said.push(wire.ask(&login(protocol, PASSWORD)).await);
    }
    // It stands where the tag belongs, so a mail program that does this hears it again; the log does not.
    let mut wire = Wire::greeted(&plot.world, Imap, ListenerTls::StartTls).await;
    assert_eq!(wire.ask(PASSWORD).await, format!("{PASSWORD} BAD Unknown command"));
}

/// The ways in which a provider may begin a line.
fn beginnings(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Smtp => &["220", "454", "what"],
        Pop3 => &["+OK", "-ERR", "what"],
        Imap => &[
            "* OK",
            "* NO",
            "* BYE",
            "* CAPABILITY",
            "+",
            "a1 OK",
            "a1 NO",
            "gatepost2 BAD",
            "gatepost3 BAD",
            "what",
        ],
    }
}

async fn providers_that_echo(plot: &mut Plot) {
    for protocol in Protocol::ALL {
        // First what is only a refusal: it costs the one refresh that a refusal may force.
        mail_fault(plot, protocol, Moment::Verdict, Action::Echo).await;
        let last = if protocol == Imap { Moment::Command } else { Moment::Verdict };
        for at in [Moment::Greeting, Moment::StartTls, Moment::Auth, Moment::Verdict, last] {
            for code in beginnings(protocol) {
                let token = plot.world.grant().await.access_token.unwrap();
                let line = format!("{code} what is {}?\r\n", token.expose());
                mail_fault(plot, protocol, at, Action::SayAndClose(line.into_bytes())).await;
            }
        }
    }
}

async fn mail_fault(plot: &mut Plot, protocol: Protocol, at: Moment, action: Action) {
    plot.world.sandbox.change(|personality| personality.mail = vec![MailFault { protocol, at, action }]);
    plot.log_in(protocol).await;
    plot.world.sandbox.change(|personality| personality.mail.clear());
}

async fn token_endpoints_that_echo(plot: &mut Plot) {
    let answer = |status, body: String| TokenFault::Answer { status, headers: Vec::new(), body };
    for kind in 0..9 {
        plot.connect().await;
        plot.world.connect_with_an_expired_token().await;
        plot.plant_tokens().await;
        let refresh_token = plot.world.grant().await.refresh_token.unwrap().expose().clone();
        let fault = match kind {
            0 => TokenFault::Echo { status: 400 },
            1 => TokenFault::Echo { status: 401 },
            2 => TokenFault::Echo { status: 500 },
            3 => {
                TokenFault::error("invalid_grant", &format!("{refresh_token} of {CLIENT_SECRET} is revoked"))
            }
            4 => answer(200, format!("<html>{refresh_token}</html>")),
            5 => answer(200, format!(r#"{{"access_token":7,"refresh_token":"{refresh_token}"}}"#)),
            6 => answer(200, format!(r#"{{"access_token":"{refresh_token}","token_type":"mac"}}"#)),
            7 => TokenFault::redirect(&format!("https://localhost:1/{refresh_token}")),
            _ => TokenFault::LoseAnswer,
        };
        plot.world.sandbox.change(|personality| personality.token_endpoint = Some(fault));
        assert_ne!(plot.log_in(Smtp).await, success(Smtp));
        plot.world.sandbox.change(|personality| personality.token_endpoint = None);
    }
}

async fn a_consent_that_fails(plot: &mut Plot) {
    for status in [400, 500] {
        plot.world
            .sandbox
            .change(|personality| personality.token_endpoint = Some(TokenFault::Echo { status }));
        let redirect_uri = "http://localhost:1/".to_owned();
        let authorization =
            Authorization::begin(plot.world.provider.oauth().unwrap(), ADDRESS, redirect_uri).unwrap();
        plot.said.push(format!("{authorization:?}"));
        let code = format!("planted-code-{status}-that-is-long-enough");
        plot.secrets.push(code.clone());
        let state =
            authorization.url().query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let returned = format!("http://localhost:1/?code={code}&state={state}");
        let error = authorization.redeem(authorization.code(&returned).unwrap()).await.unwrap_err();
        plot.said.push(format!("{error} {error:?}"));
    }
    plot.world.sandbox.change(|personality| personality.token_endpoint = None);
}

async fn a_provider_of_passwords_that_echoes(plot: &mut Plot) {
    let sandbox = Sandbox::start_as(Personality::post(MAILBOX_PASSWORD)).await.unwrap();
    let world = World::at(sandbox, UpstreamTls::StartTls, |yaml| yaml, |_| {}).await;
    plot.secrets.push(MAILBOX_PASSWORD.to_owned());
    let secret = Secret::new(MAILBOX_PASSWORD.to_owned());
    for protocol in Protocol::ALL {
        let mut faults = vec![None, Some((Moment::Verdict, Action::Echo))];
        for at in [Moment::Auth, Moment::Verdict] {
            faults.extend(beginnings(protocol).iter().map(|code| {
                let line = format!("{code} what is PASS {MAILBOX_PASSWORD}?\r\n");
                Some((at, Action::SayAndClose(line.into_bytes())))
            }));
        }
        for fault in faults {
            // A new one each time, because one that was refused is not sent again so soon.
            world.store.replace_mailbox_password(world.account, &secret).await.unwrap();
            let fault = fault.map(|(at, action)| MailFault { protocol, at, action });
            world.sandbox.change(|personality| personality.mail = fault.into_iter().collect());
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::StartTls).await;
            plot.said.push(wire.log_in(protocol).await);
        }
    }
    let stored = world.store.mailbox_password(world.account).await.unwrap();
    plot.said.push(format!("{stored:?} {:?} {:?} {:?}", world.provider, world.store, world.daemon));
    let key = std::fs::read_to_string(world.state_dir().join("master.key")).unwrap();
    plot.secrets.push(key.trim().to_owned());
    // Sealed, it is in the store and nowhere else.
    for file in ["gatepost.db", "gatepost.db-wal"] {
        let Ok(bytes) = std::fs::read(world.state_dir().join(file)) else { continue };
        assert!(
            !bytes.windows(MAILBOX_PASSWORD.len()).any(|piece| piece == MAILBOX_PASSWORD.as_bytes()),
            "{file} is not sealed"
        );
    }
}

/// Written and read again by the program itself; gives the file.
async fn a_backup(plot: &mut Plot) -> String {
    let folder = plot.world.folder();
    let (config, file) = (folder.join("gatepost.yaml"), folder.join("backup.age"));
    std::fs::write(&config, &plot.world.yaml).unwrap();
    let authority = Authority::new(&plot.world.state_dir()).kept().unwrap().unwrap();
    let key = authority.key.expose().lines().filter(|line| !line.starts_with('-'));
    let mut planted: Vec<String> = key.map(str::to_owned).collect();
    for credential in plot.world.store.credentials(None).await.unwrap() {
        planted.push(credential.password_hash.expose().clone());
    }
    planted.push(PASSPHRASE.to_owned());
    plot.secrets.extend(planted);
    for arguments in [&["export"][..], &["import"], &["import", "--replace"], &["export", "--force"]] {
        let arguments = [arguments, &[file.to_str().unwrap(), "--passphrase-stdin"]].concat();
        let (status, said) = process::said(&config, &arguments, PASSPHRASE).await;
        assert_eq!(status, Some(0), "{said}");
        plot.said.push(said);
    }
    let contents = plot.world.store.contents().await.unwrap();
    plot.said.push(format!("{:?}", Backup::new(0, contents, Some(authority))));
    String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()
}

#[tokio::test]
async fn invariants_4_and_10_no_secret_and_no_challenge_gets_out() {
    let log = Log::begin_everywhere();
    let mut plot = Plot::begin().await;
    sessions_that_work(&mut plot).await;
    sessions_that_do_not(&mut plot).await;
    providers_that_echo(&mut plot).await;
    token_endpoints_that_echo(&mut plot).await;
    a_consent_that_fails(&mut plot).await;
    a_provider_of_passwords_that_echoes(&mut plot).await;
    invariant_4_the_challenge_is_answered_and_only_its_meaning_gets_out(&mut plot, &log).await;
    let backup = a_backup(&mut plot).await;
    assert!(backup.len() > 4096, "it holds something");
    let Plot { world, .. } = &plot;
    plot.said.push(format!("{:?} {:?} {:?} {:?}", world.provider, world.store, world.daemon, world.sandbox));

    let (text, json, said) = (log.text(), log.json(), plot.said.join("\n"));
    // A search finds nothing in an empty log either.
    for level in ["TRACE", "DEBUG", "INFO", "WARN"] {
        assert!(text.contains(level) && json.contains(level), "nothing was logged at {level}");
    }
    for placeholder in ["[token]", "[password]"] {
        assert!(text.contains(placeholder), "an echo came, and was censored");
    }
    for (name, searched) in
        [("the log", &text), ("the JSON log", &json), ("what was said", &said), ("the backup", &backup)]
    {
        plot.search(name, searched);
    }
}

async fn invariant_4_the_challenge_is_answered_and_only_its_meaning_gets_out(plot: &mut Plot, log: &Log) {
    let (before, heard_before) = (log.text().len(), plot.said.len());
    let pop3 = MailFault::refusal(Pop3, true, "-ERR [AUTH] Not accepted\r\n");
    let imap = MailFault::refusal(Imap, true, "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)");
    for (protocol, fault) in [(Smtp, MailFault::gmail_refusal()), (Pop3, pop3), (Imap, imap)] {
        plot.connect().await;
        plot.world.sandbox.change(|personality| personality.mail = vec![fault]);
        let told = plot.log_in(protocol).await;
        assert!(told.ends_with(" (D98)") || told.ends_with(" (D111)"), "{told}");
        plot.world.sandbox.change(|personality| personality.mail.clear());
        let dialogue = plot.world.sandbox.dialogues().into_iter().rev().find(|one| one.protocol == protocol);
        let lines: Vec<_> = dialogue.unwrap().lines.into_iter().map(|line| line.text).collect();
        let challenge = lines.iter().position(|line| line.contains("eyJzdGF0dXMi")).unwrap();
        // The final reply comes only after an answer, and an empty one leaves no line in the record.
        let reply = lines.get(challenge + 1).unwrap();
        assert!(
            ["5", "-", "a1 NO"].iter().any(|start| reply.starts_with(start)),
            "an empty line answers it: {lines:?}"
        );
    }
    let (text, heard) = (log.text().split_off(before), plot.said.split_off(heard_before).concat());
    assert!(text.matches("status 400").count() >= 3, "its meaning is logged");
    for piece in ["eyJzdGF0dXMi", "schemes\":", "schemes\\\":"] {
        assert!(!text.contains(piece) && !heard.contains(piece), "{piece} got out");
    }
}
