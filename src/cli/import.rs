//! `gatepost import`: takes over what `gatepost export` has written, here or on another machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use time::OffsetDateTime;
use time::macros::format_description;

use super::table::{print, printable};
use super::{Context, Exit, Failure, passphrase, style, user_names};
use crate::backup::{Backup, BackupError};
use crate::config::Config;
use crate::store::Store;
use crate::store::restore::Restored;
use crate::tls::TlsError;
use crate::tls::authority::{Authority, KeptAuthority};

/// `gatepost import`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// The backup that `gatepost export` has made
    file: PathBuf,
    /// Accounts that are here already become what they are in the backup, and so does Gatepost's own CA
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    passphrase: passphrase::Source,
}

impl Arguments {
    /// Opens the backup, and restores it: all of it, or nothing.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let shown = self.file.display();
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Failed, format!("{shown}: {error}. Nothing was changed"))
        };
        let sealed = fs::read(&self.file).map_err(|error| failed(&error))?;
        let passphrase = self.passphrase.ask(&format!("Passphrase of {shown}: ")).await?;
        let backup = Backup::open(&sealed, &passphrase).map_err(|error: BackupError| failed(&error))?;
        let store = context.store(&config).await?;
        let restored = store.restore(&backup.contents, self.replace).await.map_err(|error| failed(&error))?;
        let authority = self.take_over(&config, backup.authority()).map_err(|error| {
            let message = format!("the accounts of {shown} are here, but not its CA: {error}");
            Failure::new(Exit::State, message)
        })?;
        print(&self.told(&backup, &restored))?;
        print(authority.in_words())?;
        self.note_problems(&config, &store, &backup).await
    }

    fn take_over(&self, config: &Config, kept: Option<KeptAuthority>) -> Result<TakenOver, TlsError> {
        let authority = Authority::new(&config.state_dir);
        let Some(kept) = kept else { return Ok(TakenOver::None) };
        // What an import that was cut short left is mended by the next.
        let own = match authority.kept() {
            Err(_) if self.replace => None,
            own => own?,
        };
        match own {
            Some(own) if own.certificate == kept.certificate => return Ok(TakenOver::Same),
            Some(_) if !self.replace => return Ok(TakenOver::LeftAlone),
            _ => authority.restore(&kept)?,
        }
        Ok(TakenOver::Restored)
    }

    fn told(&self, backup: &Backup, restored: &[Restored]) -> String {
        let count = |what| restored.iter().filter(|one| **one == what).count();
        let at = OffsetDateTime::from_unix_timestamp(backup.made_at / 1000).ok();
        let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
        let at = at.and_then(|at| at.format(format).ok()).unwrap_or_default();
        let mut text = format!(
            "{} {}, made {at}: {} added, {} replaced, {} left alone.\n",
            style::tick(),
            self.file.display(),
            count(Restored::Added),
            count(Restored::Replaced),
            count(Restored::LeftAlone)
        );
        let accounts = backup.contents.accounts.iter().zip(restored);
        let left: Vec<String> = accounts
            .filter(|(_, restored)| **restored == Restored::LeftAlone)
            .map(|(account, _)| format!("  {} at {}\n", account.address, account.provider))
            .map(|line| printable(line.trim_end()) + "\n")
            .collect();
        if !left.is_empty() {
            text += "Here already, and left alone (--replace makes them what they are in the backup):\n";
            text += &left.concat();
        }
        text += "Does Gatepost still run where the backup was made? Stop it there before it runs here:\n\
                 where a provider gives a new refresh token at every refresh, two that use the same\n\
                 one have it refused for both.\n";
        text
    }

    /// What would keep Gatepost from working with what it has now.
    async fn note_problems(&self, config: &Config, store: &Store, backup: &Backup) -> Result<(), Failure> {
        let missing: BTreeSet<&str> = backup
            .contents
            .accounts
            .iter()
            .map(|account| account.provider.as_str())
            .filter(|provider| !config.providers.contains_key(*provider))
            .collect();
        for provider in missing {
            print(&format!(
                "Warning: {} has no provider {}, which accounts of the backup need\n",
                config.path.display(),
                printable(provider)
            ))?;
        }
        let state = |error| Failure::new(Exit::State, error);
        for complaint in user_names::ambiguous(config, store).await.map_err(state)? {
            print(&format!("Warning: `gatepost run` will refuse to start: {complaint}\n"))?;
        }
        Ok(())
    }
}

/// What became of the CA.
enum TakenOver {
    /// There is another one.
    LeftAlone,
    /// The backup has none.
    None,
    /// It is here now.
    Restored,
    /// It was here.
    Same,
}

impl TakenOver {
    fn in_words(&self) -> &'static str {
        match self {
            Self::LeftAlone => {
                "The CA that is here stays. Devices that trust the one of the backup do not trust it;\n\
                 --replace puts that one in its place.\n"
            }
            Self::None | Self::Same => "",
            Self::Restored => {
                "The CA of the backup is here too, so devices that trust it need nothing. If Gatepost\n\
                 runs, restart it: until then it shows the certificate that it has.\n"
            }
        }
    }
}
