//! `gatepost alarm test`: whether alarms arrive, tried before the night in which one has to.

use std::sync::Arc;

use super::table::{print, printable};
use super::{Context, Exit, Failure, interrupt, style};
use crate::alarm::Alarms;
use crate::clock::Clock;
use crate::mailbox_password::MailboxPasswords;

/// `gatepost alarm …`.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Run the command and send the message of on_alarm, once, with a sample
    Test,
}

impl Command {
    /// Tries each way of telling that is configured. Fails when one did.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Test = self;
        let config = Arc::new(context.config()?);
        let store = context.store(&config).await?;
        let tokens = interrupt::tokens(store.clone());
        let passwords = Arc::new(MailboxPasswords::new(store.clone()));
        let alarms = Alarms::new(Arc::clone(&config), store, tokens.clone(), passwords, Clock::system());

        let command = alarms.try_command().await;
        if let (Some(told), Some(command)) = (&command, &config.on_alarm.command) {
            let program = command.program.display();
            print(&match told {
                Ok(()) => format!("  {} command: {program} was run, and ended well\n", style::tick()),
                Err(failure) => format!("  {} command: {}\n", style::cross(), printable(failure)),
            })?;
        }
        let mail = alarms.try_mail().await.map_err(|error| Failure::new(Exit::State, error))?;
        // A refresh that was too slow for us may be about to bring a rotated refresh token.
        tokens.settled().await;
        if let Some(sent) = &mail {
            let to = config.on_alarm.mail_to.join(", ");
            print(&match sent {
                Ok(through) => format!("  {} mail: sent to {to} through {through}\n", style::tick()),
                Err(failure) => format!("  {} mail: {}\n", style::cross(), printable(failure)),
            })?;
        }
        match (command, mail) {
            (None, None) => Err(Failure::new(
                Exit::Failed,
                format!(
                    "alarms go to the log alone: there is no `on_alarm` in {}; write\n  on_alarm: {{ mail_to: \
                     admin@example.com }}",
                    config.path.display()
                ),
            )),
            (Some(Err(_)), _) => Err(Failure::new(Exit::Failed, "the alarm command does not work yet")),
            (_, Some(Err(_))) => Err(Failure::new(Exit::Upstream, "alarms cannot be mailed yet")),
            _ => print("Whoever is on duty should have heard of it now.\n"),
        }
    }
}
