//! `gatepost-bench`: Gatepost and the programs that people would pick instead, under the same load, in turn, in one run.
//!
//! ```text
//! load (this process) ─▶ contender (processes of its own, which are measured) ─▶ upstream (a process of its own)
//! ```
//!
//! Rule: what counts is the processor time, the bytes and the memory of the contender's processes, as ratios within one run.

mod contender;
mod process;
mod upstream;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A fast provider: says on standard output where it listens, and ends when standard input does.
    Upstream,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Upstream => anyhow::bail!("not there yet"),
    }
}
