//! The command line: a file per subcommand. Each has its arguments and one `run`; what it prints for people goes to
//! standard output, what went wrong becomes a [`Failure`] that `main` prints and turns into the exit status.

pub mod account;
pub mod account_file;
pub mod account_list;
pub mod account_remove;
pub mod account_set;
pub mod alarm;
mod catch_all;
pub mod certificate;
pub mod check;
mod complain;
mod confirm;
pub mod connect;
pub mod credential;
pub mod demo;
mod device_password;
pub mod disconnect;
pub mod explain;
pub mod export;
pub mod find;
pub mod import;
mod interrupt;
pub mod key;
mod mailbox_password;
mod moment;
mod passphrase;
mod progress;
pub mod providers;
pub mod run;
pub mod setup;
pub mod status;
pub mod style;
mod table;
pub mod test;
mod user_names;
pub mod who;

use std::fmt;
use std::path::PathBuf;

use crate::config::{Config, ConfigError};
use crate::store::Store;

pub use self::complain::complain;

/// Lets mail programs that only know a password use mailboxes that only accept OAuth 2.0
#[derive(clap::Parser, Debug)]
#[command(version, max_term_width = 100, arg_required_else_help = true, after_help = EXIT_STATUS)]
pub struct Cli {
    /// The configuration file [default: $GATEPOST_CONFIG, ./gatepost.yaml, ~/.config/gatepost/gatepost.yaml,
    /// /etc/gatepost/gatepost.yaml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "For every command")]
    config: Option<PathBuf>,
    /// How log lines are written to standard error: text or json; RUST_LOG chooses which
    // The possible values would take eight lines in the help of every command.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT",
        hide_possible_values = true, help_heading = "For every command")]
    pub log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 it worked, 1 it did not, 2 wrong command line, 3 the configuration is wrong, \
4 the state folder or its key is wrong, 5 the provider refused or cannot be reached; of `gatepost status` also 6 somebody \
has to do something soon, 7 now.";

/// How log lines are written.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Add, list, switch off and remove mailboxes
    #[command(subcommand)]
    Account(account::Command),
    /// Try whether alarms arrive
    #[command(subcommand)]
    Alarm(alarm::Command),
    /// Export the certificate of Gatepost's own CA
    #[command(subcommand)]
    Certificate(certificate::Command),
    /// Read the configuration file, and tell every mistake in it or what it means
    Check(check::Arguments),
    /// Connect an account to its provider, or connect it again
    Connect(connect::Arguments),
    /// Add, list and revoke the passwords that devices log in with
    #[command(subcommand)]
    Credential(credential::Command),
    /// Show the whole way of a message: an old mail program, Gatepost, and a provider in this process
    Demo(demo::Arguments),
    /// Revoke the consent for an account at its provider, and forget it; the account stays
    Disconnect(disconnect::Arguments),
    /// Tell what a code or a line means that a device, a log or a provider has shown, and what to do
    Explain(explain::Arguments),
    /// Write accounts, passwords, tokens and the CA into one file, sealed with a passphrase
    Export(export::Arguments),
    /// Take over what `gatepost export` has written
    Import(import::Arguments),
    /// Give the store a new master key
    #[command(subcommand)]
    Key(key::Command),
    /// List the providers that Gatepost knows, or show one in full
    Providers(providers::Arguments),
    /// Run Gatepost until SIGTERM or Ctrl-C
    Run(run::Arguments),
    /// Bring a mailbox from its address to its first mail, or prepare an organisation whose mailboxes need no consent
    Setup(Box<setup::Arguments>),
    /// Tell how every account and provider stands, and what somebody has to do
    Status(status::Arguments),
    /// Try an account: its token, then a login by SMTP, POP3 and IMAP
    Test(test::Arguments),
}

impl Cli {
    /// What is logged where `RUST_LOG` does not say: the daemon tells what it does; the other commands tell it themselves.
    pub fn log_level(&self) -> &'static str {
        match self.command {
            Command::Run(_) => "info",
            _ => "error",
        }
    }

    /// How many threads the runtime gets besides the main one. The daemon needs none for one thread's work: it would be woken by the main
    /// thread, and with two of them they wake each other for every line (docs/performance.md). A command may wait for somebody who types.
    pub fn worker_threads(&self) -> Option<usize> {
        match &self.command {
            Command::Run(arguments) => Some(arguments.threads.into()).filter(|threads| *threads > 1),
            _ => Some(1),
        }
    }

    /// Runs the chosen subcommand.
    pub async fn run(self) -> Result<(), Failure> {
        let context = &Context { config: self.config };
        // On the heap: the future of a whole setup is large.
        interrupt::ends(Box::pin(self.command.run(context))).await
    }
}

impl Command {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Account(command) => command.run(context).await,
            Self::Alarm(command) => command.run(context).await,
            Self::Certificate(command) => command.run(context).await,
            Self::Credential(command) => command.run(context).await,
            Self::Check(arguments) => arguments.run(context).await,
            Self::Connect(arguments) => arguments.run(context).await,
            Self::Demo(arguments) => arguments.run(context).await,
            Self::Disconnect(arguments) => arguments.run(context).await,
            Self::Explain(arguments) => arguments.run(),
            Self::Export(arguments) => arguments.run(context).await,
            Self::Import(arguments) => arguments.run(context).await,
            Self::Key(command) => command.run(context).await,
            Self::Providers(arguments) => arguments.run(context),
            Self::Run(arguments) => arguments.run(context).await,
            Self::Setup(arguments) => arguments.run(context).await,
            Self::Status(arguments) => arguments.run(context).await,
            // On the heap: it asks many at once.
            Self::Test(arguments) => Box::pin(arguments.run(context)).await,
        }
    }
}

/// What the exit status says. 0 is success, 2 is clap's own for a wrong command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and did not work; the text says why.
    Failed = 1,
    /// The configuration file is missing or wrong.
    Configuration = 3,
    /// The state folder, its key or its owner is not as it must be.
    State = 4,
    /// The provider refused, or cannot be reached.
    Upstream = 5,
    /// Of `gatepost status`: mail goes through, and will not for ever unless somebody does something.
    NeededSoon = 6,
    /// Of `gatepost status`: mail does not go through.
    NeededNow = 7,
}

/// A command that did not do its job.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// What happened, to what, and what to do next. May have several lines.
    pub message: String,
}

impl Failure {
    /// A failure told in the given words.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

/// What every subcommand gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// `--config`; searched for in the usual places where `None`.
    pub config: Option<PathBuf>,
}

impl Context {
    /// The configuration, or all that is wrong in it.
    pub fn config(&self) -> Result<Config, Failure> {
        Config::load(self.config.as_deref()).map_err(|error| Self::wrong(&error))
    }

    /// The configuration cannot be used.
    fn wrong(error: &ConfigError) -> Failure {
        // Each mistake begins a line with its file and line number, as editors like to find them.
        let heading =
            if matches!(error, ConfigError::Wrong { .. }) { "the configuration is wrong\n" } else { "" };
        Failure::new(Exit::Configuration, format!("{heading}{error}"))
    }

    /// The store in the configured state folder, made at the first start.
    pub async fn store(&self, config: &Config) -> Result<Store, Failure> {
        Store::open(&config.state_dir).await.map_err(|error| Failure::new(Exit::State, error))
    }

    /// The same for whoever only looks: nothing is made, and there may be none.
    pub async fn store_to_look_at(&self, config: &Config) -> Result<Option<Store>, Failure> {
        Store::open_existing(&config.state_dir).await.map_err(|error| Failure::new(Exit::State, error))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn no_two_options_of_a_command_are_in_each_others_way() {
        Cli::command().debug_assert();
    }
}
