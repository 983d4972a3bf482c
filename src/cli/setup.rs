//! `gatepost setup`: from nothing to mail. With an address, everything that one person's mailbox needs.

mod address;
mod question;

use super::{Context, Failure};

/// `gatepost setup …`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    mailbox: address::Arguments,
}

impl Arguments {
    /// Does it, and says each step.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        self.mailbox.run(context).await
    }
}
