//! Runs the command that tells an alarm: without a shell, with nothing on its standard input, the values in its environment,
//! and not for long. It gets nothing else of Gatepost's environment but what a program needs to run and to reach the network:
//! secrets may stand there.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::words::Alarm;
use crate::config::AlarmCommand;

/// A pager's or a chat's web hook answers within seconds. A program that has not ended by then is killed.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a program that has ended left running may still hold its output open.
const PIPES: Duration = Duration::from_secs(1);

/// How much of what a program that failed has said is logged.
const LINES: usize = 3;
const LINE: usize = 200;

/// How many addresses are named where many accounts are in the same trouble: the environment has an end.
const ADDRESSES: usize = 50;

/// What is passed on.
const INHERITED: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SYSTEMROOT",
    "XDG_RUNTIME_DIR",
];

/// Tells these, which are of one kind, at one provider. `Err` says in words what the program did instead.
pub(super) async fn run(command: &AlarmCommand, alarms: &[Alarm], now: SystemTime) -> Result<(), String> {
    run_within(command, alarms, now, PATIENCE).await
}

async fn run_within(
    command: &AlarmCommand,
    alarms: &[Alarm],
    now: SystemTime,
    patience: Duration,
) -> Result<(), String> {
    let mut process = Command::new(&command.program);
    process.args(&command.arguments).env_clear();
    process.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    process.envs(environment(alarms, now));
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that what it started is killed with it.
    #[cfg(unix)]
    process.process_group(0);
    let child = process.kill_on_drop(true).spawn();
    let mut group = Group(child.map_err(|error| format!("cannot be run: {error}"))?);
    match timeout(patience, group.ended()).await {
        Err(_) => Err(format!("did not end within {} s, and was killed", patience.as_secs_f32())),
        Ok(Err(error)) => Err(format!("cannot be waited for: {error}")),
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, said))) => Err(failed(status, &said)),
    }
}

/// What the program is told. Nothing of it is secret, and nothing has more than one line.
fn environment(alarms: &[Alarm], now: SystemTime) -> Vec<(&'static str, OsString)> {
    let Some(first) = alarms.first() else { return Vec::new() };
    let addresses: Vec<&str> = alarms.iter().filter_map(|alarm| alarm.account.as_deref()).collect();
    let text = match addresses.len() {
        0 | 1 => first.sentence(now),
        all => format!("{}; {} more at {} likewise", first.sentence(now), all - 1, first.provider),
    };
    let values = [
        ("GATEPOST_ALARM_KIND", first.kind.word().to_owned()),
        ("GATEPOST_ALARM_PROVIDER", first.provider.clone()),
        ("GATEPOST_ALARM_ACCOUNT", addresses.iter().take(ADDRESSES).copied().collect::<Vec<_>>().join(" ")),
        ("GATEPOST_ALARM_ACCOUNTS", addresses.len().to_string()),
        ("GATEPOST_ALARM_STATE", first.state.clone().unwrap_or_default()),
        ("GATEPOST_ALARM_REASON", first.reason.clone().unwrap_or_default()),
        ("GATEPOST_ALARM_NEXT_STEP", first.next_step.clone().unwrap_or_default()),
        ("GATEPOST_ALARM_DAYS_LEFT", first.days_left(now).map(|days| days.to_string()).unwrap_or_default()),
        ("GATEPOST_ALARM_UNTIL", first.until_in_rfc3339().unwrap_or_default()),
        ("GATEPOST_ALARM_TEXT", text),
    ];
    values.map(|(name, value)| (name, value.replace(char::is_control, " ").into())).into()
}

/// A running program with whatever it started. All of it is killed when this is dropped before the program has ended.
struct Group(Child);

impl Group {
    /// Its exit status, and what it said.
    async fn ended(&mut self) -> std::io::Result<(ExitStatus, String)> {
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = {
            let reading = async { tokio::join!(read(stdout, &mut out), read(stderr, &mut err)) };
            let mut reading = std::pin::pin!(reading);
            tokio::select! {
                status = self.0.wait() => {
                    let _still_open = timeout(PIPES, reading).await;
                    status?
                }
                _ = &mut reading => self.0.wait().await?,
            }
        };
        Ok((status, String::from_utf8_lossy(&[err, out].concat()).into_owned()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Without an id it has ended.
        #[cfg(unix)]
        if let Some(id) =
            self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // It may end at this moment.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

/// The beginning of what comes. The rest is read and thrown away: a full pipe would keep the program from ending.
async fn read(pipe: Option<impl AsyncRead + Unpin>, bytes: &mut Vec<u8>) {
    if let Some(mut pipe) = pipe {
        // A pipe that fails has nothing more to say; the exit status judges.
        let _ = (&mut pipe).take(4096).read_to_end(bytes).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
}

fn failed(status: ExitStatus, said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(LINES);
    let printable = |character: char| if character.is_control() { '?' } else { character };
    let lines: Vec<String> = lines.map(|line| line.chars().take(LINE).map(printable).collect()).collect();
    if lines.is_empty() {
        format!("failed ({status})")
    } else {
        format!("failed ({status}): {}", lines.join(" / "))
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::UNIX_EPOCH;

    use time::macros::datetime;

    use super::super::words::Kind;
    use super::*;

    fn script(text: &str, arguments: &[&str]) -> AlarmCommand {
        let arguments = ["-c", text, "page"].iter().chain(arguments).map(ToString::to_string).collect();
        AlarmCommand { program: "sh".into(), arguments }
    }

    fn alarm() -> Alarm {
        Alarm {
            kind: Kind::Account,
            provider: "contoso".to_owned(),
            account: Some("ann@example.com".to_owned()),
            state: Some("refused".to_owned()),
            reason: Some("$(touch pwned)\n`id`".to_owned()),
            next_step: Some("gatepost connect ann@example.com".to_owned()),
            until: Some(1_801_353_600),
        }
    }

    async fn heard(alarms: &[Alarm], folder: &Path) -> BTreeMap<String, String> {
        let to = folder.join("heard");
        let command =
            script("env > \"$1\"; cat >> \"$1\"; echo \"ARGUMENTS=$#\" >> \"$1\"", &[to.to_str().unwrap()]);
        let now = datetime!(2027-01-24 0:00 UTC).into();
        run(&command, alarms, now).await.unwrap();
        let text = std::fs::read_to_string(to).unwrap();
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn the_program_is_told_by_its_environment_alone_and_gets_nothing_else_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        // What cargo sets stands for all that is not passed on.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let heard = heard(&[alarm()], folder.path()).await;
        for (name, value) in [
            ("KIND", "account"),
            ("PROVIDER", "contoso"),
            ("ACCOUNT", "ann@example.com"),
            ("ACCOUNTS", "1"),
            ("STATE", "refused"),
            ("REASON", "$(touch pwned) `id`"),
            ("NEXT_STEP", "gatepost connect ann@example.com"),
            ("DAYS_LEFT", "7"),
            ("UNTIL", "2027-01-31T00:00:00Z"),
            (
                "TEXT",
                "ann@example.com is refused: $(touch pwned) `id`; next: gatepost connect ann@example.com",
            ),
        ] {
            assert_eq!(
                heard.get(&format!("GATEPOST_ALARM_{name}")).map(String::as_str),
                Some(value),
                "{name}"
            );
        }
        assert_eq!(heard["ARGUMENTS"], "1", "values are no arguments");
        let shells = ["PWD", "OLDPWD", "SHLVL", "_", "ARGUMENTS"];
        for name in heard.keys() {
            let known = name.starts_with("GATEPOST_ALARM_")
                || INHERITED.contains(&name.as_str())
                || shells.contains(&name.as_str());
            assert!(known, "{name} was passed on");
        }
    }

    #[tokio::test]
    async fn many_accounts_are_counted_and_the_first_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = (0..60).map(|number| Alarm { account: Some(format!("a{number}@b")), ..alarm() });
        let heard = heard(&accounts.collect::<Vec<_>>(), folder.path()).await;
        assert_eq!(heard["GATEPOST_ALARM_ACCOUNTS"], "60");
        assert_eq!(heard["GATEPOST_ALARM_ACCOUNT"].split(' ').count(), ADDRESSES);
        assert!(heard["GATEPOST_ALARM_TEXT"].ends_with("; 59 more at contoso likewise"));
    }

    #[tokio::test]
    async fn a_program_that_fails_hangs_or_is_missing_is_told_from_one_that_works() {
        let fails = script("echo printed; echo 'no\tsuch pager' >&2; echo; echo more >&2; exit 3", &[]);
        let missing = AlarmCommand { program: "/nowhere/page".into(), arguments: Vec::new() };
        for (command, expected) in [
            (script("echo fine", &[]), Ok(())),
            (script("seq 200000; seq 200000 >&2", &[]), Ok(())),
            (fails, Err("failed (exit status: 3): no?such pager / more / printed")),
            (script("exit 1", &[]), Err("failed (exit status: 1)")),
            (missing, Err("cannot be run: No such file or directory (os error 2)")),
        ] {
            let result = run(&command, &[alarm()], UNIX_EPOCH).await;
            assert_eq!(
                result.as_ref().map_err(String::as_str),
                expected.as_ref().map(|()| &()).map_err(|text| *text)
            );
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_whatever_it_started() {
        use std::io::Read as _;
        use std::os::unix::fs::OpenOptionsExt as _;

        use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
        let mut pipe = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path).unwrap();
        let hangs = script("exec > \"$1\"; echo begun; sleep 600 & sleep 600", &[path.to_str().unwrap()]);
        let result = run_within(&hangs, &[alarm()], UNIX_EPOCH, Duration::from_secs(2)).await;
        assert_eq!(result.unwrap_err(), "did not end within 2 s, and was killed");
        // The pipe comes to its end when the last of them is gone.
        let mut said = Vec::new();
        for _ in 0..2000 {
            match pipe.read_to_end(&mut said) {
                Ok(_) => return assert_eq!(said, b"begun\n"),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => unreachable!("{error}"),
            }
        }
        unreachable!("something of it still runs");
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_keeps_nobody_waiting() {
        let leaves = script("sleep 30 & exit 0", &[]);
        assert_eq!(run_within(&leaves, &[alarm()], UNIX_EPOCH, Duration::from_secs(20)).await, Ok(()));
    }
}
