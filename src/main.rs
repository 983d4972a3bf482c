//! The `gatepost` program: arguments, logging, runtime, exit status.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use gatepost::cli::{Cli, LogFormat};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match prepare(&cli) {
        Ok(runtime) => report(runtime.block_on(cli.run())),
        Err(error) => {
            gatepost::cli::complain(&format!("gatepost: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn prepare(cli: &Cli) -> anyhow::Result<tokio::runtime::Runtime> {
    gatepost::hardening::harden().context("this process could not be hardened")?;
    start_logging(cli.log_format, cli.log_level())?;
    let mut runtime = match cli.worker_threads() {
        None => tokio::runtime::Builder::new_current_thread(),
        Some(threads) => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    runtime.enable_all().build().context("no runtime")
}

/// Logs go to standard error: what a command prints for people or scripts stays apart.
fn start_logging(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) => {
            EnvFilter::try_new(&directives).with_context(|| format!("RUST_LOG={directives:?}"))?
        }
        Err(_) => EnvFilter::new(level),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
        LogFormat::Text => {
            let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::io::IsTerminal::is_terminal(&std::io::stderr());
            subscriber.with_ansi(colour).with_target(false).init();
        }
    }
    Ok(())
}

fn report(result: Result<(), gatepost::cli::Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            gatepost::cli::complain(&format!("gatepost: {}", failure.message));
            ExitCode::from(failure.exit as u8)
        }
    }
}
