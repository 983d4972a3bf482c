//! `gatepost key rotate`: a new master key, under which every secret of the store is sealed anew.

use super::table::print;
use super::{Context, Exit, Failure, style};
use crate::store::{Left, Rotation, Store};

/// `gatepost key …`.
#[derive(clap::Subcommand, Clone, Copy, Debug)]
pub enum Command {
    /// Seal every secret of the store under a new master key; a running Gatepost goes on
    Rotate,
}

impl Command {
    /// Rotates, and says what that leaves to do.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Rotate = self;
        let config = context.config()?;
        let state = |error| Failure::new(Exit::State, error);
        let Some(store) = Store::open_existing(&config.state_dir).await.map_err(state)? else {
            let folder = config.state_dir.display();
            return Err(Failure::new(Exit::Failed, format!("nothing is stored in {folder} yet")));
        };
        print(&told(&store.rotate_key().await.map_err(state)?))
    }
}

fn told(rotation: &Rotation) -> String {
    let secrets = match rotation.resealed {
        1 => "1 secret is".to_owned(),
        count => format!("{count} secrets are"),
    };
    let done = format!(
        "{} {secrets} sealed under a new master key:\n  {}\nA running Gatepost goes on with it.\n\n",
        style::tick(),
        rotation.key.display()
    );
    let next = match &rotation.left {
        Left::Nothing => "Copies of the database that were made before need the old key. Where you keep a\n\
             copy of the key, put the new one beside it."
            .to_owned(),
        Left::OldKey(old) => format!(
            "The old key is kept, because copies of the database that were made before need it:\n  {}\n\
             Remove it when you need none of them any more.",
            old.display()
        ),
        Left::Credential => "Next, as root, wherever systemd takes it from:\n  \
             mv /etc/gatepost/gatepost-key.new /etc/gatepost/gatepost-key\n\
             Then take the line with gatepost-key.new out of the unit, and restart it. Keep a copy\n\
             of the old key: copies of the database that were made before need it."
            .to_owned(),
    };
    format!("{done}{next}\nBackups by `gatepost export` need no key.\n")
}
