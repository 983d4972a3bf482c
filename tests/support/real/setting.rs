//! Everything between an old mail program and its mail: the three servers, Gatepost in front of them with an account that is
//! connected, and the message that breaks what can be broken on the way. And how such programs are run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::certificates::trusting;
use super::gatepost::{Gatepost, PASSWORD, shown, with_input};
use super::mail::Connection;
use super::oidc::Client;
use super::process::needs;
use super::{MailProvider, Tls};

/// Whose mailbox it is.
pub(crate) const MARTHA: &str = "martha@example.test";

/// All that a test needs.
pub(crate) struct Setting {
    pub(crate) gatepost: Gatepost,
    pub(crate) provider: MailProvider,
    /// The message, in a file.
    pub(crate) message: PathBuf,
}

impl Setting {
    /// Starts everything, with Gatepost being this client to the provider and going to these ports of it. Or says that the test is
    /// skipped.
    pub(crate) async fn start(programs: &[&str], client: Client, tls: Tls) -> Option<Self> {
        if !programs.iter().all(|program| needs(program)) {
            return None;
        }
        let provider = MailProvider::start().await?;
        let folder = provider.folder.path();
        let message = folder.join("message.eml");
        fs::write(&message, awkward_message()).unwrap();
        let mut gatepost = Gatepost::configured(folder, &provider.provider_yaml("real", client, tls));
        gatepost.add_account(MARTHA, "real");
        if client != Client::Service {
            gatepost.connect(MARTHA, &provider).await;
        }
        let told = gatepost.command(&["test", MARTHA, "--json"], "");
        assert!(told.contains("\"ok\":true"), "{told}");
        gatepost.run();
        Some(Self { gatepost, provider, message })
    }

    /// Where a client puts what it fetched.
    pub(crate) fn fetched(&self) -> PathBuf {
        self.provider.folder.path().join("fetched.eml")
    }

    /// A new folder for what a program keeps.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.provider.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    }

    /// Runs a script of `tests/clients`, which must succeed.
    pub(crate) fn python(&self, script: &str, port: u16, tls: &str, file: &Path) {
        succeeds(self.script(Path::new("python3"), script, port, tls, [MARTHA, PASSWORD]).arg(file));
    }

    /// A script of `tests/clients` with what each of them is told first.
    pub(crate) fn script(
        &self,
        interpreter: &Path,
        script: &str,
        port: u16,
        tls: &str,
        [user, password]: [&str; 2],
    ) -> Command {
        let mut command = Command::new(interpreter);
        command.arg(client(script)).args(["localhost", &port.to_string(), tls]);
        command.arg(&self.gatepost.ca_file).args([user, password]);
        command
    }

    /// Runs curl, which must succeed.
    pub(crate) fn curl(&self, url: &str, arguments: impl FnOnce(&mut Command)) {
        let mut curl = self.curl_with(url, PASSWORD);
        arguments(&mut curl);
        succeeds(&mut curl);
    }

    /// curl with this password, and all that each of its calls needs.
    pub(crate) fn curl_with(&self, url: &str, password: &str) -> Command {
        curl(&self.gatepost, &format!("{MARTHA}:{password}"), url)
    }

    /// Lets fetchmail fetch what is there, with implicit TLS.
    pub(crate) fn fetchmail(&self, protocol: &str, port: u16) {
        let home = self.folder("fetchmail");
        let configuration = home.join("fetchmailrc");
        let text = format!(
            "poll localhost service {port} protocol {protocol} timeout 60 no envelope\n  \
             user \"{MARTHA}\" password \"{PASSWORD}\" ssl sslcertck sslcertfile \"{ca}\" sslproto \"auto\"\n  \
             pass8bits no rewrite no mimedecode no stripcr fetchall mda \"cat > {fetched}\"\n",
            ca = self.gatepost.ca_file.display(),
            fetched = self.fetched().display()
        );
        fs::write(&configuration, text).unwrap();
        // fetchmail refuses a file with a password that others may read.
        fs::set_permissions(&configuration, fs::Permissions::from_mode(0o600)).unwrap();
        let mut fetchmail = Command::new("fetchmail");
        fetchmail
            .env("FETCHMAILHOME", &home)
            .env("HOME", &home)
            .args(["--nosyslog", "--nodetach", "--invisible"])
            .arg("--fetchmailrc")
            .arg(&configuration);
        succeeds(&mut fetchmail);
    }

    /// A connection to Gatepost's IMAP, TLS from the first byte, its greeting read.
    pub(crate) fn imap(&self) -> Connection {
        let authority = CertificateDer::from_pem_file(&self.gatepost.ca_file).unwrap();
        let mut connection = Connection::implicit(self.gatepost.imaps, &trusting(authority));
        let greeting = connection.line();
        assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
        connection
    }

    /// The same, logged in.
    pub(crate) fn imap_logged_in(&self) -> Connection {
        let mut connection = self.imap();
        connection.imap_ok(&format!("LOGIN {MARTHA} \"{PASSWORD}\""));
        connection
    }

    /// What a client put into [`Self::fetched`] came by SMTP: body and headers as they were, and nothing but whole header
    /// lines in front.
    pub(crate) fn assert_delivered(&self) {
        for line in self.added_in_front().lines() {
            let known = ["Return-Path: ", "Delivered-To: ", "Received: ", "\t"];
            assert!(known.iter().any(|start| line.starts_with(start)), "added in front: {line}");
        }
    }

    /// What a client put into [`Self::fetched`] is the message, octet for octet.
    pub(crate) fn assert_identical(&self) {
        assert_eq!(self.added_in_front(), "");
    }

    /// The message came back behind these octets. Takes the file away.
    fn added_in_front(&self) -> String {
        let sent = fs::read(&self.message).unwrap();
        let fetched = fs::read(self.fetched()).unwrap();
        let Some(added) = fetched.strip_suffix(sent.as_slice()) else {
            let end = |bytes: &[u8]| {
                String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(200)..]).into_owned()
            };
            panic!(
                "{} octets sent, {} fetched, and they differ. Fetched, the first and last of it:\n{}\n…\n{}",
                sent.len(),
                fetched.len(),
                String::from_utf8_lossy(&fetched[..fetched.len().min(1500)]),
                end(&fetched)
            );
        };
        fs::remove_file(self.fetched()).unwrap();
        String::from_utf8(added.to_vec()).unwrap()
    }
}

/// curl with `user:password`, and all that each of its calls needs.
pub(crate) fn curl(gatepost: &Gatepost, login: &str, url: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "120", "--noproxy", "*", "--ssl-reqd", "--cacert"])
        .arg(&gatepost.ca_file)
        .args(["--user", login, "--url", url]);
    curl
}

/// A file of `tests/clients`.
pub(crate) fn client(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(file)
}

/// Runs a mail program to its end.
pub(crate) fn succeeds(command: &mut Command) {
    let output = with_input(command, b"");
    assert!(output.status.success(), "{command:?}: {}", shown(&output));
}

/// Runs a mail program that must fail, and gives what it said.
pub(crate) fn fails(command: &mut Command) -> String {
    let output = with_input(command, b"");
    assert!(!output.status.success(), "{command:?}: {}", shown(&output));
    shown(&output)
}

/// All that mail programs and servers are known to break: dots at line starts, 8-bit text, lines of 998 octets, empty
/// lines at the end, and 20 MB of attachment.
pub(crate) fn awkward_message() -> Vec<u8> {
    let mut message = b"From: martha@example.test\r
To: martha@example.test\r
Date: Fri, 01 Jan 2027 10:00:00 +0000\r
Message-ID: <awkward@example.test>\r
Subject: everything that breaks on the way\r
X-Folded: one\r
 two\r
\tthree\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=\"=_the boundary\"\r
\r
--=_the boundary\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: 8bit\r
\r
.\r
..\r
.a dot\r
...three\r
From the start of a line\r
\ttab, trailing blanks  \r
"
    .to_vec();
    message.extend(b"Gr\xfc\xdfe aus K\xf6ln\r\n");
    message.extend((0x80..=0xff).collect::<Vec<u8>>());
    message.extend(b"\r\n");
    message.extend([b'x'; 998]);
    message.extend(b"\r\n.");
    message.extend([0xe9; 997]);
    message.extend(
        b"\r\n\r\n--=_the boundary\r\nContent-Type: application/octet-stream\r\n\
          Content-Transfer-Encoding: base64\r\n\r\n",
    );
    let line = [
        b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3"[..76].to_vec(),
        b"\r\n".to_vec(),
    ];
    message.extend(line.concat().repeat(20 * 1024 * 1024 / 78));
    message.extend(b"\r\n--=_the boundary--\r\n\r\n");
    message
}
