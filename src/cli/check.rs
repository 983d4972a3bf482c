//! `gatepost check`: reads the configuration file as `run` would, and tells everything that it finds in it, and what it means.
//! Rule: it makes nothing; where there is no store yet, there is none afterwards. Only `--fix` writes, and the file alone.

mod fix;
mod online;
mod stored;
mod summary;

use std::mem::take;

use clap::Args;
use serde_json::{Value, json};

use super::table::{json, print};
use super::{Context, Exit, Failure};
use crate::config::mistakes::Level;
use crate::config::{Complaint, Config, ConfigError};
use crate::tls::acceptor::ServerCertificate;

/// `gatepost check`.
#[derive(Args, Clone, Debug, Default)]
pub struct Arguments {
    /// Repair what can only be meant one way, and tell what was changed; comments and layout of the file stay
    #[arg(long, conflicts_with = "json")]
    fix: bool,
    /// Ask every server and token endpoint, too: names, TLS, capabilities, and whether Gatepost is known as a client
    #[arg(long, conflicts_with = "json")]
    online: bool,
    /// Print a JSON array instead: [{"file", "line", "key", "code", "level": "error" | "warning" | "note", "text", "repair":
    /// {"old", "new"}}]: line, code and repair may be null; repair is what --fix would write
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Ends well if the file can be used; warnings and notes do not change that.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.fix {
            print(&fix::fix(context)?)?;
        }
        let (config, mut complaints) = match Config::load(context.config.as_deref()) {
            Ok(mut config) => {
                let remarks = take(&mut config.remarks);
                (Some(config), remarks)
            }
            Err(ConfigError::Wrong { complaints }) => (None, complaints),
            Err(error) => return Err(Context::wrong(&error)),
        };
        let mut text = String::new();
        if let Some(config) = &config {
            if let Some(files) = &config.certificate {
                ServerCertificate::load(files).map_err(|error| Failure::new(Exit::Configuration, error))?;
            }
            let (state, found) = stored::look(config).await?;
            complaints.extend(found);
            text = summary::summary(config, &state);
        }
        let is_wrong = complaints.iter().any(Complaint::is_error);
        let wrong =
            |told: &str| Failure::new(Exit::Configuration, format!("the configuration is wrong{told}"));
        if self.json {
            print(&json(&complaints.iter().map(as_json).collect()))?;
            return if is_wrong { Err(wrong("")) } else { Ok(()) };
        }
        if is_wrong {
            return Err(wrong(&format!("\n{}", told(&complaints))));
        }
        if !complaints.is_empty() {
            text.extend(["\n", &told(&complaints), "\n"]);
        }
        print(&text)?;
        match config.filter(|_| self.online) {
            Some(config) => online::check(&config).await,
            None => Ok(()),
        }
    }
}

/// A line for each, and how many there are. Each begins with its file and line number, as editors like to find them.
fn told(complaints: &[Complaint]) -> String {
    let mut lines: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    lines.push(String::new());
    lines.push(counted(complaints));
    lines.join("\n")
}

fn counted(complaints: &[Complaint]) -> String {
    let mut kinds = Vec::new();
    for level in [Level::Error, Level::Warning, Level::Note] {
        match complaints.iter().filter(|complaint| complaint.level == level).count() {
            0 => {}
            1 => kinds.push(format!("1 {level}")),
            several => kinds.push(format!("{several} {level}s")),
        }
    }
    let repairs = complaints.iter().filter(|complaint| complaint.repair.is_some()).count();
    let fix = match repairs {
        0 => "`gatepost check --fix` can repair none of them".to_owned(),
        repairs => format!("`gatepost check --fix` would repair {repairs} of them"),
    };
    format!("{}; {fix}.", kinds.join(", "))
}

fn as_json(complaint: &Complaint) -> Value {
    let repair = complaint.repair.as_ref();
    json!({
        "file": complaint.file,
        "line": complaint.line,
        "key": complaint.key,
        "code": complaint.code,
        "level": complaint.level.name(),
        "text": complaint.text,
        "repair": repair.map(|repair| json!({ "old": repair.old.to_string(), "new": repair.new.to_string() })),
    })
}

#[cfg(test)]
mod tests {
    // A test says what it expects by failing.
    #![allow(clippy::unwrap_used)]

    use gatepost_protocol::secret::Secret;

    use super::super::{Context, Exit};
    use super::Arguments;
    use crate::store::Store;
    use crate::store::accounts::NewAccount;
    use crate::store::credentials::NewCredential;

    #[tokio::test]
    async fn a_user_name_that_a_listener_cannot_tell_apart_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join("gatepost.yaml"), folder.path().join("state"));
        let text = "providers:
  a: { preset: microsoft365, client_id: abc }
  b: { preset: microsoft365, client_id: abc }
listeners: [{ protocol: smtp }]
state: state
";
        std::fs::write(&path, text).unwrap();
        let context = Context { config: Some(path) };
        Arguments::default().run(&context).await.unwrap();
        assert!(!state.exists(), "nothing is made for a check");
        let store = Store::open(&state).await.unwrap();
        for (provider, expected) in [("a", true), ("b", false)] {
            let account = NewAccount {
                address: "ann@example.com".to_owned(),
                provider: provider.to_owned(),
                ..NewAccount::default()
            };
            let credential = NewCredential {
                user_name: "scanner".to_owned(),
                mailbox: None,
                password_hash: Secret::new(String::new()),
                label: None,
            };
            store.add_account(&account, Some(&credential)).await.unwrap();
            match Arguments::default().run(&context).await {
                Ok(()) => assert!(expected),
                Err(failure) => {
                    assert_eq!(failure.exit, Exit::Configuration);
                    assert!(!expected && failure.message.contains("`scanner`"), "{}", failure.message);
                }
            }
        }
    }
}
