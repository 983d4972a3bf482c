//! The sandbox's IMAP server seen from outside.

use gatepost_protocol::Protocol;
use tokio::io::AsyncReadExt as _;

use super::*;

/// With what a server could be tempted to change.
const MESSAGE: &[u8] =
    b"From: Eve <eve@example.com>\r\nSubject: dots\r\n and more\r\nTo: ada@example.com\r\n\r\n.\r\n..two\r\nbare\n.lf\r\n\xff";

#[tokio::test]
async fn a_message_appended_either_way_comes_back_identical_either_way() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    for (send, fetch, uid) in
        [(UpstreamTls::StartTls, UpstreamTls::Implicit, 1), (UpstreamTls::Implicit, UpstreamTls::StartTls, 2)]
    {
        let mut imap = Wire::imap_in(&sandbox, send, &token).await;
        let appended = imap.append("{}", MESSAGE).await;
        assert!(
            appended.starts_with("a OK [APPENDUID ") && appended.ends_with(&format!(" {uid}] Completed"))
        );
        let mut imap = Wire::imap_in(&sandbox, fetch, &token).await;
        imap.command("SELECT INBOX").await;
        assert_eq!(imap.fetch(&format!("UID FETCH {uid} BODY[]")).await, MESSAGE);
        assert_eq!(imap.fetch(&format!("FETCH {uid} RFC822")).await, MESSAGE);
        assert_eq!(imap.command("LOGOUT").await, ["* BYE Goodbye", "a OK Completed"]);
        assert_eq!(imap.line().await, "");
    }
    let counters = sandbox.counters();
    assert_eq!((counters.imap_connections, counters.imap_logins, counters.refused_logins), (4, 4, 0));
}

#[tokio::test]
async fn twenty_megabytes_come_back_identical() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let message =
        b"..dots and seventy more characters, as an attachment in base64 has them\r\n".repeat(280_000);
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    imap.append("{}", &message).await;
    assert!(sandbox.mailbox(ADA)[0] == message);
    imap.command("SELECT INBOX").await;
    assert!(imap.fetch("FETCH 1 BODY.PEEK[]").await == message);
}

#[tokio::test]
async fn capabilities_are_those_of_the_stage_and_the_personality() {
    let sandbox = Sandbox::start().await.unwrap();
    let ports = sandbox.ports();
    for (announces, sasl_ir, port, greeting) in [
        (
            true,
            true,
            ports.imap,
            "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED LITERAL+ ID] Gatepost sandbox ready",
        ),
        (false, true, ports.imap, "* OK Gatepost sandbox ready"),
    ] {
        sandbox.change(|personality| {
            personality.imap_greeting_capabilities = announces;
            personality.sasl_ir = sasl_ir;
        });
        assert_eq!(Wire::open(port).await.line().await, greeting);
    }
    for (sasl_ir, capabilities) in [
        (true, "* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2 LOGINDISABLED LITERAL+ ID"),
        (false, "* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED LITERAL+ ID"),
    ] {
        sandbox.change(|personality| personality.sasl_ir = sasl_ir);
        for tls in [UpstreamTls::StartTls, UpstreamTls::Implicit] {
            let mut imap = Wire::imap(&sandbox, tls).await;
            assert_eq!(imap.command("CAPABILITY").await, [capabilities, "a OK Completed"]);
        }
    }
    let token = access_token(&sandbox).await;
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    let expected = ["* CAPABILITY IMAP4rev1 IDLE LITERAL+ UIDPLUS", "a OK Completed"];
    assert_eq!(imap.command("CAPABILITY").await, expected);
}

#[tokio::test]
async fn a_token_opens_the_mailbox_in_one_step_and_in_two() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let response = xoauth2(ADA, &token);
    let mut imap = Wire::imap(&sandbox, UpstreamTls::Implicit).await;
    assert_eq!(imap.ask(&format!("a AUTHENTICATE XOAUTH2 {response}")).await, "a OK AUTHENTICATE completed");
    assert_eq!(imap.ask("b AUTHENTICATE XOAUTH2").await, "b BAD Not known here, or not before SELECT");
    let mut imap = Wire::imap(&sandbox, UpstreamTls::Implicit).await;
    assert_eq!(imap.ask("a authenticate xoauth2").await, "+ ");
    assert_eq!(imap.ask(&response).await, "a OK AUTHENTICATE completed");
    sandbox.change(|personality| personality.sasl_ir = false);
    let mut imap = Wire::imap(&sandbox, UpstreamTls::Implicit).await;
    let reply = imap.ask(&format!("a AUTHENTICATE XOAUTH2 {response}")).await;
    assert_eq!(reply, "a BAD No initial response is taken");
    assert!(!format!("{:?}", sandbox.dialogues()).contains(&response), "a token is in the record");
}

#[tokio::test]
async fn what_is_no_good_token_is_answered_behind_the_tag() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    for (user, token) in [(ADA, "wrong"), ("eve@example.com", token.as_str())] {
        let mut imap = Wire::imap(&sandbox, UpstreamTls::StartTls).await;
        let challenge = imap.ask(&format!("x7 AUTHENTICATE XOAUTH2 {}", xoauth2(user, token))).await;
        let json = STANDARD.decode(challenge.strip_prefix("+ ").unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap()["status"], "400");
        assert_eq!(imap.ask("").await, "x7 NO [AUTHENTICATIONFAILED] Token not accepted");
        for (line, reply) in [
            ("x8 SELECT INBOX", "x8 BAD Only AUTHENTICATE XOAUTH2 inside TLS"),
            ("x9 LOGIN ada secret", "x9 NO Only AUTHENTICATE XOAUTH2"),
            ("y1 AUTHENTICATE PLAIN", "y1 NO Only XOAUTH2"),
            ("y2 AUTHENTICATE XOAUTH2 bm90aGluZw==", "y2 BAD Not an XOAUTH2 message"),
            ("y3 AUTHENTICATE XOAUTH2", "+ "),
            ("*", "y3 BAD AUTHENTICATE cancelled"),
            ("(", "* BAD Not a command"),
        ] {
            assert_eq!(imap.ask(line).await, reply);
        }
    }
    assert_eq!(sandbox.counters().refused_logins, 2);
    let mut plain = Wire::open(sandbox.ports().imap).await;
    plain.line().await;
    let reply = plain.ask(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ADA, &token))).await;
    assert_eq!(reply, "a NO [PRIVACYREQUIRED] Only inside TLS");
}

#[tokio::test]
async fn a_mailbox_tells_what_is_in_it() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.deliver(ADA, Bytes::from_static(MESSAGE));
    sandbox.deliver(ADA, Bytes::from_static(b"\r\n"));
    let token = access_token(&sandbox).await;
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    let selected = imap.command("SELECT inbox").await;
    let validity = selected[5].strip_prefix("* OK [UIDVALIDITY ").unwrap().strip_suffix("] Valid").unwrap();
    let expected = [
        r"* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)",
        "* 2 EXISTS",
        "* 0 RECENT",
        "* OK [UNSEEN 1] First unseen",
        r"* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft)] Kept",
        &format!("* OK [UIDVALIDITY {validity}] Valid"),
        "* OK [UIDNEXT 3] Next",
        "a OK [READ-WRITE] Completed",
    ];
    assert_eq!(selected, expected);
    let status = format!("* STATUS INBOX (MESSAGES 2 UNSEEN 2 UIDNEXT 3 UIDVALIDITY {validity} RECENT 0)");
    for (command, untagged, tagged) in [
        ("STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)", status.as_str(), "OK Completed"),
        (r#"LIST "" "*""#, r#"* LIST (\HasNoChildren) "/" INBOX"#, "OK Completed"),
        (r#"LIST "" """#, r#"* LIST (\Noselect) "/" """#, "OK Completed"),
        (r#"LSUB "" %"#, r#"* LSUB (\HasNoChildren) "/" INBOX"#, "OK Completed"),
        (r#"LIST "" Sent"#, "", "OK Completed"),
        ("NAMESPACE", r#"* NAMESPACE (("" "/")) NIL NIL"#, "OK Completed"),
        (r#"ID ("name" "test")"#, r#"* ID ("name" "Gatepost sandbox")"#, "OK Completed"),
        ("SUBSCRIBE {5+}\r\nINBOX", "", "OK Completed"),
        ("CREATE Sent", "", "NO [NONEXISTENT] There is only INBOX"),
        ("UID COPY 1 Sent", "", "NO [TRYCREATE] There is only INBOX"),
        ("SELECT Sent", "", "NO [NONEXISTENT] There is only INBOX"),
        ("CHECK", "", "BAD Not known here, or not before SELECT"),
        ("EXAMINE", "", "BAD Cannot read that"),
        ("XYZZY", "", "BAD Not known here, or not before SELECT"),
    ] {
        let untagged = Some(untagged).filter(|line| !line.is_empty()).map(str::to_owned);
        let expected: Vec<String> = untagged.into_iter().chain([format!("a {tagged}")]).collect();
        assert_eq!(imap.command(command).await, expected, "{command}");
    }
}

#[tokio::test]
async fn fetch_gives_every_part_that_is_asked_for() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.deliver(ADA, Bytes::from_static(MESSAGE));
    let token = access_token(&sandbox).await;
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    imap.command("EXAMINE INBOX").await;
    let header = MESSAGE.len() - ".\r\n..two\r\nbare\n.lf\r\n?".len();
    let (header, text) = MESSAGE.split_at(header);
    for (item, name, octets) in [
        ("BODY.PEEK[]", "BODY[]", MESSAGE),
        ("body[header]", "BODY[HEADER]", header),
        ("RFC822.HEADER", "RFC822.HEADER", header),
        ("BODY[TEXT]", "BODY[TEXT]", text),
        ("BODY.PEEK[]<5.4>", "BODY[]<5>", b" Eve".as_slice()),
        ("BODY.PEEK[]<5000.4>", "BODY[]<5000>", b""),
        (
            r#"BODY.PEEK[HEADER.FIELDS (subject "X-None")]"#,
            "BODY[HEADER.FIELDS (subject X-None)]",
            b"Subject: dots\r\n and more\r\n\r\n",
        ),
        (
            "BODY[HEADER.FIELDS.NOT (From To)]",
            "BODY[HEADER.FIELDS.NOT (From To)]",
            b"Subject: dots\r\n and more\r\n\r\n",
        ),
    ] {
        assert_eq!(imap.fetch(&format!("FETCH 1 ({item})")).await, octets, "{item}");
        imap.write(format!("b UID FETCH 1:* {item}\r\n").as_bytes()).await;
        assert_eq!(imap.line().await, format!("* 1 FETCH (UID 1 {name} {{{}}}", octets.len()));
        while !imap.raw_line().await.starts_with(b"b OK") {}
    }
    let told = imap.command("FETCH 1 FAST").await;
    assert!(told[0].starts_with("* 1 FETCH (FLAGS () INTERNALDATE \""), "{told:?}");
    assert!(told[0].ends_with(&format!("+0000\" RFC822.SIZE {})", MESSAGE.len())), "{told:?}");
    for command in ["FETCH 2 UID", "FETCH 0 UID", "FETCH 1 ENVELOPE", "FETCH 1 UID more", "FETCH x UID"] {
        assert_eq!(imap.command(command).await, ["a BAD Cannot read that, or no such message"], "{command}");
    }
    assert_eq!(imap.command("UID FETCH 7 FLAGS").await, ["a OK Completed"]);
}

#[tokio::test]
async fn flags_stay_and_expunge_removes_what_is_deleted() {
    let sandbox = Sandbox::start().await.unwrap();
    for text in ["one\r\n", "two\r\n", "three\r\n", "four\r\n"] {
        sandbox.deliver(ADA, Bytes::from(text));
    }
    let token = access_token(&sandbox).await;
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    imap.command("SELECT INBOX").await;
    imap.dialogue(&[
        ("STORE 1 +FLAGS (\\seen \\Unknown)", r"* 1 FETCH (FLAGS (\Seen))"),
        ("UID STORE 2 FLAGS \\Flagged \\Deleted", r"* 2 FETCH (UID 2 FLAGS (\Flagged \Deleted))"),
        ("STORE 2:3 +FLAGS.SILENT (\\Deleted)", ""),
        ("STORE 1 -FLAGS (\\Seen)", "* 1 FETCH (FLAGS ())"),
        ("SEARCH DELETED", "* SEARCH 2 3"),
        ("UID EXPUNGE 1:2", "* 2 EXPUNGE"),
        ("UID SEARCH DELETED", "* SEARCH 3"),
        ("EXPUNGE", "* 2 EXPUNGE"),
        ("UID SEARCH ALL", "* SEARCH 1 4"),
        ("STORE * +FLAGS.SILENT \\Deleted", ""),
        ("CLOSE", ""),
    ])
    .await;
    assert_eq!(sandbox.mailbox(ADA), [Bytes::from_static(b"one\r\n")]);
    imap.command("EXAMINE INBOX").await;
    let refused = "NO [CANNOT] The mailbox is read-only";
    for command in ["STORE 1 FLAGS (\\Deleted)", "EXPUNGE"] {
        assert_eq!(imap.command(command).await, [format!("a {refused}")]);
    }
    assert_eq!(imap.fetch("FETCH 1 BODY[]").await, b"one\r\n");
    assert_eq!(imap.command("SEARCH UNSEEN").await, ["* SEARCH 1", "a OK Completed"]);
    imap.command("SELECT INBOX").await;
    imap.write(b"b FETCH 1 BODY[]\r\n").await;
    assert_eq!(imap.line().await, r"* 1 FETCH (FLAGS (\Seen) BODY[] {5}");
    for line in ["one", ")", "b OK Completed"] {
        assert_eq!(imap.line().await, line);
    }
    assert_eq!(imap.command("SEARCH SEEN").await, ["* SEARCH 1", "a OK Completed"]);
}

#[tokio::test]
async fn search_finds_by_every_criterion() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.deliver(ADA, Bytes::from_static(MESSAGE));
    sandbox.deliver(ADA, Bytes::from_static(b"From: bob@example.com\r\n\r\nlunch?\r\n"));
    let token = access_token(&sandbox).await;
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    imap.command("SELECT INBOX").await;
    imap.command("STORE 2 +FLAGS.SILENT (\\Seen)").await;
    imap.dialogue(&[
        ("SEARCH ALL", "* SEARCH 1 2"),
        ("SEARCH UNSEEN", "* SEARCH 1"),
        ("SEARCH RECENT", "* SEARCH"),
        ("SEARCH UID 2:*", "* SEARCH 2"),
        ("SEARCH *", "* SEARCH 2"),
        ("SEARCH 1:* NOT SEEN", "* SEARCH 1"),
        ("SEARCH OR (SEEN LARGER 9) 1", "* SEARCH 1 2"),
        ("SEARCH SUBJECT \"and more\"", "* SEARCH 1"),
        ("SEARCH HEADER from {3+}\r\nBOB", "* SEARCH 2"),
        ("SEARCH TO \"\"", "* SEARCH 1"),
        ("SEARCH CHARSET UTF-8 BODY lunch SMALLER 99", "* SEARCH 2"),
        ("SEARCH TEXT lunch UNSEEN", "* SEARCH"),
    ])
    .await;
    for (command, reply) in [
        ("SEARCH CHARSET KOI8-R ALL", "a NO [BADCHARSET (US-ASCII UTF-8)] Not known here"),
        ("SEARCH SINCE 1-Jan-2020", "a BAD Cannot read that"),
        ("SEARCH", "a BAD Cannot read that"),
    ] {
        assert_eq!(imap.command(command).await, [reply]);
    }
}

#[tokio::test]
async fn append_takes_flags_a_date_and_both_kinds_of_literal() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    imap.command("SELECT INBOX").await;
    imap.write(b"a APPEND \"INBOX\" (\\Seen \\Draft) \" 7-Feb-1994 21:52:25 -0800\" {5+}\r\nhello\r\n").await;
    assert_eq!(imap.line().await, "* 1 EXISTS");
    assert!(imap.line().await.starts_with("a OK [APPENDUID "));
    let told = imap.command("FETCH 1 (FLAGS INTERNALDATE)").await;
    assert_eq!(told[0], r#"* 1 FETCH (FLAGS (\Seen \Draft) INTERNALDATE " 7-Feb-1994 21:52:25 -0800")"#);
    imap.write(b"b APPEND {5}\r\n").await;
    assert_eq!(imap.line().await, "+ Go on");
    imap.write(b"INBOX {3}\r\n").await;
    assert_eq!(imap.line().await, "+ Go on");
    imap.write(b"\r\n.\r\nc APPEND Sent {2+}\r\nhi\r\n").await;
    assert_eq!(imap.line().await, "* 2 EXISTS");
    assert!(imap.line().await.starts_with("b OK [APPENDUID "));
    assert_eq!(imap.line().await, "c NO [NONEXISTENT] There is only INBOX");
    assert_eq!(sandbox.mailbox(ADA), [Bytes::from_static(b"hello"), Bytes::from_static(b"\r\n.")]);
    assert_eq!(imap.ask("d APPEND INBOX {157286401+}").await, "* BYE Literal too long");
    assert_eq!(imap.line().await, "");
}

#[tokio::test]
async fn idle_tells_what_others_do_as_they_do_it() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let mut idle = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    idle.command("SELECT INBOX").await;
    assert_eq!(idle.ask("b IDLE").await, "+ Idling");
    let mut smtp = Wire::smtp(&sandbox, UpstreamTls::Implicit).await;
    smtp.login(ADA, &token).await;
    smtp.send(b"by SMTP\r\n").await;
    assert_eq!(idle.line().await, "* 1 EXISTS");
    let mut other = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    other.append("{+}", b"by IMAP\r\n").await;
    assert_eq!(idle.line().await, "* 2 EXISTS");
    other.command("SELECT INBOX").await;
    other.command("STORE 1 FLAGS (\\Deleted)").await;
    assert_eq!(idle.line().await, r"* 1 FETCH (UID 1 FLAGS (\Deleted))");
    other.command("EXPUNGE").await;
    assert_eq!(idle.line().await, "* 1 EXPUNGE");
    assert_eq!(idle.ask("done").await, "b OK Completed");
    assert_eq!(idle.ask("c IDLE").await, "+ Idling");
    assert_eq!(idle.ask("c NOOP").await, "c BAD Only DONE ends IDLE");
}

#[tokio::test]
async fn what_another_session_removes_stays_until_the_client_is_told() {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.deliver(ADA, Bytes::from_static(b"one\r\n"));
    sandbox.deliver(ADA, Bytes::from_static(b"two\r\n"));
    let token = access_token(&sandbox).await;
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    imap.command("SELECT INBOX").await;
    let mut pop3 = Wire::pop3(&sandbox, UpstreamTls::Implicit).await;
    pop3.login(ADA, &token).await;
    pop3.ask("DELE 1").await;
    pop3.ask("QUIT").await;
    assert_eq!(imap.fetch("FETCH 1 BODY.PEEK[]").await, b"one\r\n");
    imap.dialogue(&[
        ("STORE 1 +FLAGS (\\Seen)", ""),
        ("SEARCH ALL", "* SEARCH 1 2"),
        ("NOOP", "* 1 EXPUNGE"),
        ("UID SEARCH ALL", "* SEARCH 2"),
    ])
    .await;
}

#[tokio::test]
async fn a_fault_happens_at_its_moment_of_imap() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let fault = |at, action| MailFault { protocol: Protocol::Imap, at, action };
    let no = || Action::Answer("NO not now".to_owned());
    let set = |fault| sandbox.change(|personality| personality.mail = vec![fault]);

    set(fault(Moment::Greeting, Action::SayAndClose(b"* BYE later\r\n".to_vec())));
    let mut wire = Wire::open(sandbox.ports().imap).await;
    assert_eq!((wire.line().await.as_str(), wire.line().await.as_str()), ("* BYE later", ""));
    for (at, command) in [(Moment::Hello, "a CAPABILITY"), (Moment::StartTls, "a STARTTLS")] {
        set(fault(at, no()));
        let mut wire = Wire::open(sandbox.ports().imap).await;
        wire.line().await;
        assert_eq!(wire.ask(command).await, "a NO not now");
        assert_eq!(
            wire.ask("b NOOP").await,
            if at == Moment::Hello { "b NO not now" } else { "b OK Completed" }
        );
    }
    set(fault(Moment::Handshake, Action::Say(b"\0garbage\r\n".to_vec())));
    let mut wire = Wire::open(sandbox.ports().imap).await;
    wire.line().await;
    wire.ask("a STARTTLS").await;
    assert_eq!(wire.line().await, "\0garbage");

    let authenticate = format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ADA, &token));
    for (at, command) in [
        (Moment::HelloInTls, "a CAPABILITY"),
        (Moment::Auth, "a AUTHENTICATE XOAUTH2"),
        (Moment::Auth, &authenticate),
        (Moment::Verdict, &authenticate),
    ] {
        set(fault(at, no()));
        let mut imap = Wire::imap(&sandbox, UpstreamTls::StartTls).await;
        assert_eq!(imap.ask(command).await, "a NO not now", "{at:?}");
        set(fault(at, Action::Close));
        let mut imap = Wire::imap(&sandbox, UpstreamTls::Implicit).await;
        assert_eq!(imap.ask(command).await, "", "{at:?}");
    }
    set(fault(Moment::Body(3), Action::Close));
    sandbox.deliver(ADA, Bytes::from_static(b"hello\r\n"));
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    imap.command("SELECT INBOX").await;
    assert_eq!(imap.ask("b FETCH 1 RFC822").await, r"* 1 FETCH (FLAGS (\Seen) RFC822 {7}");
    assert_eq!(imap.raw_line().await, b"hel");
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    imap.write(b"b APPEND INBOX {5+}\r\nhel").await;
    assert_eq!(imap.line().await, "");
    assert_eq!(sandbox.mailbox(ADA).len(), 1);
}

#[tokio::test]
async fn a_good_token_is_refused_behind_the_tag_in_the_words_that_a_test_wants() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let authenticate = format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ADA, &token));
    let words = "NO [AUTHENTICATIONFAILED] Invalid credentials";
    for challenge in [false, true] {
        let fault = MailFault::refusal(Protocol::Imap, challenge, words);
        sandbox.change(|personality| personality.mail = vec![fault]);
        let mut imap = Wire::imap(&sandbox, UpstreamTls::Implicit).await;
        let mut reply = imap.ask(&authenticate).await;
        if challenge {
            assert!(reply.starts_with("+ ey"), "{reply}");
            reply = imap.ask("").await;
        }
        assert_eq!(reply, format!("a {words}"));
    }
    sandbox.change(|personality| personality.mail = vec![MailFault::exchange_not_connected()]);
    let mut imap = Wire::imap_in(&sandbox, UpstreamTls::Implicit, &token).await;
    let offered = ["* CAPABILITY IMAP4rev1 IDLE LITERAL+ UIDPLUS", "a OK Completed"];
    assert_eq!(imap.command("CAPABILITY").await, offered);
    for command in ["LIST \"\" \"\"", "SELECT INBOX", "APPEND INBOX {2+}\r\nhi", "IDLE"] {
        assert_eq!(imap.command(command).await, ["a BAD User is authenticated but not connected."]);
    }
    assert_eq!(imap.command("LOGOUT").await, ["* BYE Goodbye", "a OK Completed"]);
    assert!(sandbox.mailbox(ADA).is_empty());
}

#[tokio::test]
async fn a_refused_token_is_said_back_by_imap_too() {
    let sandbox = Sandbox::start().await.unwrap();
    let fault = MailFault { protocol: Protocol::Imap, at: Moment::Verdict, action: Action::Echo };
    sandbox.change(|personality| personality.mail = vec![fault]);
    let mut imap = Wire::imap(&sandbox, UpstreamTls::Implicit).await;
    let response = xoauth2(ADA, "a-token");
    let reply = imap.ask(&format!("a AUTHENTICATE XOAUTH2 {response}")).await;
    assert_eq!(reply, format!("a NO Not accepted: {response} which is \"a-token\""));
}

pub(super) fn xoauth2(user: &str, token: &str) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

impl Wire<Box<dyn Bytestream>> {
    /// Before the login.
    async fn imap(sandbox: &Sandbox, tls: UpstreamTls) -> Self {
        let ports = sandbox.ports();
        if tls == UpstreamTls::Implicit {
            let mut wire = Self::encrypted(sandbox, Wire::open(ports.imaps).await).await;
            assert!(wire.line().await.starts_with("* OK "));
            return wire;
        }
        let mut plain = Wire::open(ports.imap).await;
        assert!(plain.line().await.starts_with("* OK "));
        assert_eq!(plain.ask("a STARTTLS").await, "a OK Begin TLS");
        Self::encrypted(sandbox, plain).await
    }

    /// In Ada's mailbox.
    async fn imap_in(sandbox: &Sandbox, tls: UpstreamTls, token: &str) -> Self {
        let mut wire = Self::imap(sandbox, tls).await;
        assert_eq!(wire.ask("a AUTHENTICATE XOAUTH2").await, "+ ");
        assert_eq!(wire.ask(&xoauth2(ADA, token)).await, "a OK AUTHENTICATE completed");
        wire
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// All that a command is answered with, up to the tagged response.
    async fn command(&mut self, command: &str) -> Vec<String> {
        let mut lines = vec![self.ask(&format!("a {command}")).await];
        while !lines.last().is_some_and(|line| line.is_empty() || line.starts_with("a ")) {
            lines.push(self.line().await);
        }
        lines
    }

    /// Commands that succeed, and the one untagged response or none that each is to be answered with.
    async fn dialogue(&mut self, dialogue: &[(&str, &str)]) {
        for (command, untagged) in dialogue {
            let mut lines = self.command(command).await;
            assert_eq!(lines.pop().unwrap(), "a OK Completed", "{command}");
            assert_eq!(lines.join("\n"), *untagged, "{command}");
        }
    }

    /// `brackets` are `{}` or `{+}`.
    async fn append(&mut self, brackets: &str, message: &[u8]) -> String {
        let literal = brackets.replacen('{', &format!("{{{}", message.len()), 1);
        self.write(format!("a APPEND INBOX {literal}\r\n").as_bytes()).await;
        if brackets == "{}" {
            assert_eq!(self.line().await, "+ Go on");
        }
        self.write(message).await;
        self.ask("").await
    }

    /// The literal of a response that has one.
    async fn fetch(&mut self, command: &str) -> Vec<u8> {
        let first = self.ask(&format!("a {command}")).await;
        let (_, length) = first.strip_suffix('}').unwrap().rsplit_once('{').unwrap();
        let mut octets = vec![0; length.parse().unwrap()];
        self.stream.read_exact(&mut octets).await.unwrap();
        assert_eq!(self.line().await, ")");
        assert_eq!(self.line().await, "a OK Completed");
        octets
    }

    async fn raw_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        drop(self.stream.read_until(b'\n', &mut line).await);
        line
    }
}
