//! `gatepost export`: all that the store and our CA are, in one file under a passphrase.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::table::print;
use super::{Context, Exit, Failure, passphrase, style};
use crate::backup::{Backup, WORK_FACTOR};
use crate::config::{Config, replace};
use crate::store::Store;
use crate::tls::authority::Authority;

/// `gatepost export`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// The backup that is made
    file: PathBuf,
    /// Put it in the place of a file that is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    passphrase: passphrase::Source,
}

impl Arguments {
    /// Asks for a passphrase, and writes the backup.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        self.refuse_place()?;
        let shown = self.file.display();
        let state = |error| Failure::new(Exit::State, error);
        let Some(store) = Store::open_existing(&config.state_dir).await.map_err(state)? else {
            let folder = config.state_dir.display();
            return Err(Failure::new(Exit::Failed, format!("nothing is stored in {folder} yet")));
        };
        let question = format!(
            "Whoever has the backup and its passphrase has every mailbox. Nobody can open it\n\
             without.\nNew passphrase for {shown}: "
        );
        let passphrase = self.passphrase.new_one(&question).await?;
        let contents = store.contents().await.map_err(state)?;
        let authority =
            Authority::new(&config.state_dir).kept().map_err(|error| Failure::new(Exit::State, error))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let backup = Backup::new(i64::try_from(now.as_millis()).unwrap_or(i64::MAX), contents, authority);
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Failed, format!("{shown}: {error}; no backup was made"))
        };
        let sealed = backup.seal(&passphrase, WORK_FACTOR).map_err(|error| failed(&error))?;
        let written = if self.force {
            replace::replace_private(&self.file, &sealed)
        } else {
            replace::make_private(&self.file, &sealed)
        };
        written.map_err(|error| failed(&error))?;
        print(&told(&self.file, &backup, &config))
    }

    /// Before a passphrase is thought of.
    fn refuse_place(&self) -> Result<(), Failure> {
        let refuse = |text: String| Err(Failure::new(Exit::Failed, text));
        let shown = self.file.display();
        if self.file.exists() && !self.force {
            return refuse(format!("{shown} is there already; --force replaces it"));
        }
        // A disk that is not mounted is not to become a folder of this one.
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        match folder {
            Some(folder) if !folder.is_dir() => refuse(format!("there is no folder {}", folder.display())),
            _ => Ok(()),
        }
    }
}

fn told(file: &Path, backup: &Backup, config: &Config) -> String {
    let count = |number: usize, one: &str, many: &str| {
        if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
    };
    let contents = &backup.contents;
    let authority =
        if backup.authority().is_some() { "Gatepost's own CA" } else { "no CA, as none was made" };
    format!(
        "{} {} holds {} and {} of devices, all tokens, and {authority}.\n\
         Not in it: the configuration. Keep that beside it, with the files that it names:\n  {}\n\
         Where a provider gives a new refresh token at every refresh, those in the backup do not\n\
         work any more once Gatepost has refreshed them; such accounts are connected again.\n",
        style::tick(),
        file.display(),
        count(contents.accounts.len(), "account", "accounts"),
        count(contents.credentials(), "password", "passwords"),
        config.path.display()
    )
}
