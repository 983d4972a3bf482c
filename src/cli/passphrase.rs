//! The passphrase of a backup: typed at the terminal, which does not show it, or read from standard input. It never stands on the
//! command line, where every user of the machine could see it.

use std::io::{IsTerminal, stdin};

use gatepost_protocol::secret::Secret;

use super::{Exit, Failure, device_password, mailbox_password};

/// Guessing at a backup costs nobody but the guesser.
const LEAST_LEN: usize = 12;

/// Where the passphrase comes from.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Source {
    /// Read the passphrase from standard input, for scripts
    #[arg(long)]
    passphrase_stdin: bool,
}

impl Source {
    /// One that is made up now. A person types it twice.
    pub(super) async fn new_one(self, question: &str) -> Result<Secret<String>, Failure> {
        let passphrase = self.ask(question).await?;
        let characters = passphrase.expose().chars().count();
        if characters < LEAST_LEN {
            let message = format!(
                "the passphrase has {characters} characters, and must have {LEAST_LEN}: it is all that guards the backup"
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        if !self.passphrase_stdin && mailbox_password::typed("Again: ").await?.expose() != passphrase.expose()
        {
            return Err(Failure::new(Exit::Failed, "that was not the same passphrase; nothing was written"));
        }
        Ok(passphrase)
    }

    /// One that was made up before.
    pub(super) async fn ask(self, question: &str) -> Result<Secret<String>, Failure> {
        if self.passphrase_stdin {
            return device_password::read(stdin());
        }
        if !stdin().is_terminal() {
            let message =
                "nobody is there to type the passphrase; a script hands it over with --passphrase-stdin";
            return Err(Failure::new(Exit::Failed, message));
        }
        mailbox_password::typed(question).await
    }
}
