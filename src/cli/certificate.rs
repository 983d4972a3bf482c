//! `gatepost certificate export`: the local CA, for devices that check what they talk to.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::table::print;
use super::{Context, Exit, Failure};
use crate::tls::authority::Authority;

/// `gatepost certificate …`.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Print the certificate of Gatepost's own CA (PEM), for importing into devices and mail programs
    Export {
        /// Write it to this file instead
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

impl Command {
    /// Prints or writes it, making the CA first where there is none.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Export { output } = self;
        let config = context.config()?;
        if let Some(files) = &config.certificate {
            let shown = files.certificate.display();
            let message =
                format!("the configuration names its own certificate, {shown}: devices need that one's CA");
            return Err(Failure::new(Exit::Failed, message));
        }
        // Opening the store makes the state folder, and refuses when it is somebody else's.
        context.store(&config).await?;
        let certificate = Authority::new(&config.state_dir)
            .certificate()
            .map_err(|error| Failure::new(Exit::State, error))?;
        match output {
            None => print(&certificate),
            Some(path) => {
                write_readable(&path, &certificate)
                    .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))?;
                print(&format!(
                    "Wrote {}. Import it as a trusted CA; it is valid for ten years.\n",
                    path.display()
                ))
            }
        }
    }
}

/// A certificate is no secret, and whoever hands it to a device may be another user: readable by all, where our umask would
/// keep it for its owner.
fn write_readable(path: &Path, certificate: &str) -> io::Result<()> {
    fs::write(path, certificate)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    Ok(())
}
