//! `gatepost-bench`: its arguments and its exit status.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use gatepost_bench::{contender, run, upstream};

/// Gatepost and the programs that people would pick instead, under the same load
#[derive(Parser)]
#[command(version, about, after_help = EXIT_STATUS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "Exit status of `run`: 0 every bar that could be judged is met, 1 one is not, 2 it could not be measured.";

#[derive(Subcommand)]
enum Command {
    /// Measure, in turn, and print the table
    Run(run::Arguments),
    /// A fast provider: says on standard output where it listens, and ends when standard input does
    Upstream {
        /// Milliseconds that every octet is on its way, in each direction
        #[arg(long, default_value_t = 0)]
        delay: u64,
    },
    /// The baseline: copies octets between clients and the upstream's TLS
    Naive(contender::NaiveArguments),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Upstream { delay } => upstream::run(Duration::from_millis(delay)).map(|()| true),
        Command::Naive(arguments) => contender::run_naive(&arguments).map(|()| true),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("gatepost-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
