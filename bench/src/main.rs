//! `gatepost-bench`: its arguments.

use std::time::Duration;

use clap::{Parser, Subcommand};

use gatepost_bench::upstream;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A fast provider: says on standard output where it listens, and ends when standard input does.
    Upstream {
        /// Milliseconds that every octet is on its way, in each direction.
        #[arg(long, default_value_t = 0)]
        delay: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Upstream { delay } => upstream::run(Duration::from_millis(delay)),
    }
}
