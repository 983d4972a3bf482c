//! The application that Gatepost is at a provider: asks for its client id and its secret, with the way to them, and looks at their
//! form, so that a slip is told before a browser opens.

use gatepost_protocol::secret::Secret;
use url::Url;

use super::super::super::{Exit, Failure, complain, table::print};
use super::super::question;
use super::settings::Settings;
use crate::config::lint;
use crate::config::presets::{Preset, Registration};

/// What every terminal has.
const COLUMNS: usize = 80;

/// Who is asked for an application.
pub(super) struct Asked<'a> {
    /// For people.
    pub(super) provider: &'a str,
    pub(super) registration: Option<&'a Registration>,
    /// Whether it can do without.
    pub(super) app_passwords: bool,
    /// Where known: it tells whose ids these are.
    pub(super) token_endpoint: Option<Url>,
}

impl<'a> Asked<'a> {
    /// A provider that is known.
    pub(super) fn preset(preset: &'a Preset) -> Self {
        Self {
            provider: &preset.title,
            registration: preset.registration.as_ref(),
            app_passwords: preset.app_passwords,
            token_endpoint: preset.text("token_endpoint").and_then(|url| Url::parse(url).ok()),
        }
    }

    /// Asks for what the settings do not say: the client id, or that there is none, where an app password does as well; and gives the
    /// secret that was typed, where there is one.
    pub(super) async fn application(
        &self,
        settings: &mut Settings,
    ) -> Result<Option<Secret<String>>, Failure> {
        if settings.client_id.is_some() {
            self.refuse_wrong(settings)?;
            if !self.needs_secret() || settings.client_secret_file.is_some() {
                return Ok(None);
            }
            return self.secret().await;
        }
        let (provider, way) = (self.provider, way(self.registration));
        if !question::is_possible() {
            let or = if self.app_passwords { ", or --app-password" } else { "" };
            let message = format!(
                "--client-id ID is missing: the application that you registered at {provider}{or}.\n{way}"
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        print(&format!(
            "\nGatepost needs a client id of {provider}.\nYou get one by registering it there, once for all your \
             mailboxes:\n{way}\n"
        ))?;
        if self.app_passwords {
            print(
                "Without one, press Enter: then the account logs in with an app password, which\nyou make where the \
                 provider keeps your account.\n",
            )?;
        }
        let wrong = |answer: &str| match answer {
            "" => (!self.app_passwords).then(|| "is empty".to_owned()),
            answer => self.wrong_client_id(answer),
        };
        let client_id = question::answer("Client id", "--client-id ID", wrong).await?;
        if client_id.is_empty() {
            settings.app_password = true;
            return Ok(None);
        }
        settings.client_id = Some(client_id);
        if settings.client_secret_file.is_some() { Ok(None) } else { self.secret().await }
    }

    /// Complains about a client id that the settings name and that cannot be one.
    pub(super) fn refuse_wrong(&self, settings: &Settings) -> Result<(), Failure> {
        match settings.client_id.as_deref().and_then(|client_id| self.wrong_client_id(client_id)) {
            None => Ok(()),
            Some(problem) => Err(Failure::new(Exit::Failed, format!("--client-id {problem}"))),
        }
    }

    fn wrong_client_id(&self, client_id: &str) -> Option<String> {
        if client_id.contains('@') {
            return Some("is an address; the client id is something else".to_owned());
        }
        if client_id.contains(char::is_whitespace) {
            return Some("has a blank in it".to_owned());
        }
        lint::client_id(self.token_endpoint.as_ref()?, client_id)
    }

    fn needs_secret(&self) -> bool {
        self.token_endpoint.as_ref().is_some_and(lint::needs_secret)
    }

    /// The secret, where the application has one.
    async fn secret(&self) -> Result<Option<Secret<String>>, Failure> {
        let question = if self.needs_secret() {
            "Client secret (it is not shown)"
        } else {
            "Client secret, if there is one (it is not shown; else press Enter)"
        };
        if !question::is_possible() {
            let message = format!(
                "--client-secret-file FILE is missing: {} gives an application a secret beside its client id, and wants \
                 to see both",
                self.provider
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        loop {
            let typed = question::unseen(question).await?;
            let secret = str::from_utf8(&typed)
                .map_err(|_| Failure::new(Exit::Failed, "the secret is not UTF-8"))?
                .trim();
            if !secret.is_empty() {
                return Ok(Some(Secret::new(secret.to_owned())));
            }
            if !self.needs_secret() {
                return Ok(None);
            }
            if typed.is_empty() {
                let message = "the input ended without an answer (--client-secret-file FILE)";
                return Err(Failure::new(Exit::Failed, message));
            }
            complain(&format!("That is empty; {} shows the secret beside the client id.", self.provider));
        }
    }
}

/// How one gets a client id, or an app password.
pub(super) fn way(registration: Option<&Registration>) -> String {
    match registration {
        Some(Registration { steps, url }) => {
            let steps: String = steps.iter().map(|step| wrapped(step)).collect();
            format!("  {url}\n{steps}")
        }
        None => "  Its operator registers a native application with the redirect URI http://localhost,\n  \
                 and gives you the client id.\n"
            .to_owned(),
    }
}

/// A step, in lines that fit a terminal.
fn wrapped(step: &str) -> String {
    let mut lines = vec!["  -".to_owned()];
    for word in step.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("    {word}")),
        }
    }
    lines.join("\n") + "\n"
}
