//! `gatepost-bench run`: every contender in turn, round after round, then medians and bars.
//!
//! Rule: a contender starts anew for each part of each round, so that none carries over what an earlier load left behind.

pub mod bar;
pub mod figure;
mod machine;
#[allow(clippy::cast_precision_loss, reason = "a figure has three digits that count")]
mod measure;
mod plots;
pub mod results;
mod scale;
#[allow(clippy::cast_precision_loss, reason = "as above")]
mod waiting;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use crate::contender::{self, NotInstalled, Setup, own_executable};
use crate::load::Client;
use crate::process;
use crate::report::svg;
use crate::upstream::Upstream;
use figure::{Figure, Row};
use measure::{Subject, Value};
use results::{Medians, Results};
use scale::Scale;

/// Those that are always there.
const OWN: [&str; 4] = ["direct", "naive", "gatepost", "gatepost-tls"];

/// Those that are installed for it.
const PEERS: [&str; 4] = ["haproxy", "nginx", "dovecot", "emailproxy"];

/// Milliseconds to the upstream that is far away, in one direction.
const FAR: u64 = 15;

/// Rounds of what takes long and varies little.
const FEW: usize = 3;

/// How many times as often as asked for: what is over in a second or two, and varies most with whatever else the machine does.
const OFTENER: usize = 6;

/// The same for a small message: what one costs varies by a fifth from one process to the next of the same program.
const OFTENEST: usize = 12;

/// What to measure, of whom.
#[derive(clap::Args)]
pub struct Arguments {
    /// These contenders only: gatepost, gatepost-tls, naive, direct, haproxy, nginx, dovecot, emailproxy
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// These parts only
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    what: Vec<Part>,
    /// Other people's programs too
    #[arg(long)]
    peers: bool,
    /// How often, for the medians; logins one after the other six times as often, small messages twelve times
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder for results.json and the plots; without it, none is written
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// One round of small loads, which shows that everything works and measures nothing
    #[arg(long)]
    quick: bool,
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// POP3 RETR of a large message
    Download,
    /// SMTP DATA of a large message
    Upload,
    /// Logins one after the other
    Login,
    /// Small messages on an open session
    Message,
    /// How long a login takes
    Latency,
    /// How long an answer takes while another session downloads
    Beside,
    /// Logins and messages with an upstream that is 30 ms away
    Far,
    /// Memory and descriptors of sessions that wait
    Idle,
    /// What a start costs
    Start,
    /// Many logins at once
    Parallel,
    /// The same by people with a password of their own each
    Storm,
    /// Download by size of the message, logins by number of clients
    Curves,
}

impl Part {
    fn rounds(self, wanted: usize) -> usize {
        match self {
            Self::Idle | Self::Start | Self::Parallel | Self::Storm => wanted.min(FEW),
            Self::Login | Self::Latency => wanted * OFTENER,
            Self::Message => wanted * OFTENEST,
            Self::Curves => 1,
            Self::Download | Self::Upload | Self::Beside | Self::Far => wanted,
        }
    }

    /// What TLS toward the client makes no difference to is measured without it, and what only a program with accounts can do, of
    /// Gatepost alone.
    fn concerns(self, name: &str) -> bool {
        match self {
            Self::Download | Self::Upload | Self::Login | Self::Message | Self::Latency | Self::Idle => true,
            Self::Storm => name == "gatepost",
            _ => name != "gatepost-tls",
        }
    }
}

/// Runs it all and prints the table; whether every bar that could be judged is met.
pub fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    process::raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let results = runtime.block_on(measured(arguments))?;
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("results.json");
        std::fs::write(&file, serde_json::to_string_pretty(&results)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
        for (name, plot) in plots::plots(&results.figures, &results.medians) {
            let file = folder.join(name);
            std::fs::write(&file, svg::draw(&plot)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    write!(std::io::stdout(), "{}", results.table())?;
    Ok(results.bars.iter().all(|bar| bar.met != Some(false)))
}

async fn measured(arguments: &Arguments) -> anyhow::Result<Results> {
    let scale = if arguments.quick { Scale::quick() } else { Scale::full() };
    let contenders = contenders(arguments)?;
    let parts = if arguments.what.is_empty() { Part::value_variants() } else { &arguments.what };
    let (near, far) = (Provider::start(0)?, Provider::start(FAR)?);
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    for &part in parts {
        let upstream = if part == Part::Far { &far.upstream } else { &near.upstream };
        let rounds = if arguments.quick { 1 } else { part.rounds(arguments.rounds) };
        for round in 1..=rounds {
            for &name in contenders.iter().filter(|name| part.concerns(name)) {
                eprintln!("{part:?}, round {round}: {name}");
                let mut values = Vec::new();
                let measured = one(name, upstream, part, &scale, &mut values).await;
                let figure = |(row, at, value)| Figure { row, at, contender: name.to_owned(), round, value };
                figures.extend(values.into_iter().map(figure));
                if let Err(error) = measured {
                    let note = if error.is::<NotInstalled>() {
                        format!("{name}: not installed")
                    } else {
                        format!("{name}, {part:?}, round {round}: {error:#}")
                    };
                    ensure!(!OWN.contains(&name), "{note}");
                    eprintln!("{note}");
                    // What others cannot do is a result too.
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                }
            }
        }
    }
    let medians = Medians::of_figures(&figures);
    let bars = bar::judge(&medians);
    Ok(Results { machine: machine::described(), figures, medians, bars, notes })
}

/// Starts the contender, measures the part, and ends it.
async fn one(
    name: &str,
    upstream: &Upstream,
    part: Part,
    scale: &Scale,
    values: &mut Vec<Value>,
) -> anyhow::Result<()> {
    if part == Part::Storm {
        return waiting::storm(upstream, scale.storm, values).await;
    }
    let contender = contender::start(name, upstream).await?;
    let direct = Client::new(&contender::direct(upstream), upstream)?;
    let subject =
        Subject { client: Client::new(&contender, upstream)?, direct, contender: &contender, scale };
    subject.measure(part, values).await?;
    if part == Part::Start && name == "gatepost" {
        drop(contender);
        let setup = Setup { accounts: scale.accounts, ..Setup::default() };
        let many = contender::prepare_gatepost(upstream, setup).await?.start().await?;
        let used = process::processor_time(&many.processes)?;
        values.push((Row::Start, Some(scale.accounts as u64), used.as_secs_f64() * 1000.0));
    }
    Ok(())
}

fn contenders(arguments: &Arguments) -> anyhow::Result<Vec<&'static str>> {
    let all = || OWN.into_iter().chain(PEERS);
    for name in &arguments.only {
        ensure!(all().any(|known| known == name), "no contender is called {name}");
    }
    Ok(all()
        .filter(|name| {
            if arguments.only.is_empty() {
                arguments.peers || OWN.contains(name)
            } else {
                arguments.only.iter().any(|wanted| wanted == name)
            }
        })
        .collect())
}

/// The upstream in a process of its own. It ends when its standard input does, which is when this is dropped.
struct Provider {
    child: Child,
    upstream: Upstream,
}

impl Provider {
    fn start(delay: u64) -> anyhow::Result<Self> {
        let mut child = Command::new(own_executable("gatepost-bench")?)
            .args(["upstream", "--delay", &delay.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let upstream = serde_json::from_str(&line).context("the upstream does not say where it is")?;
        Ok(Self { child, upstream })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("the upstream cannot be waited for: {error}");
        }
    }
}
