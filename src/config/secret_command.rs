//! Runs the program that a secret comes from: without a shell, with nothing on its standard input, and not for long. It runs
//! whenever the configuration is read.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use gatepost_protocol::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::secret::LONGEST;

/// A password store may ask its owner to unlock it; whoever starts a service does not wait longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How much of what a program complains about is told.
const MAX_COMPLAINT: usize = 200;

/// What the program printed first. `Err` says in words what it did instead.
pub(super) fn first_line(
    program: &str,
    arguments: &[&str],
    folder: &Path,
    patience: Duration,
) -> Result<Secret<String>, String> {
    // A name is looked up in PATH; a path starts where all paths of the file do.
    let program = if program.contains('/') { folder.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The configuration is read by whoever wants to, inside a runtime or not: a thread of its own may wait in any case.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot be run: {error}"))?;
        runtime.block_on(async {
            tokio::time::timeout(patience, run(command)).await.unwrap_or_else(|_| {
                Err(format!("did not end within {} s, and was stopped", patience.as_secs_f32()))
            })
        })
    });
    thread.join().unwrap_or_else(|_| Err("cannot be run".to_owned()))
}

async fn run(mut command: Command) -> Result<Secret<String>, String> {
    let cannot = |error: std::io::Error| format!("cannot be run: {error}");
    let mut child = command.spawn().map_err(cannot)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) = tokio::join!(printed(stdout), printed(stderr), child.wait());
    let status = status.map_err(cannot)?;
    if !status.success() {
        return Err(failed(status, &stderr));
    }
    let text = str::from_utf8(&stdout).map_err(|_| "printed something that is not UTF-8".to_owned())?;
    let line = text.lines().next().unwrap_or_default();
    if line.trim().is_empty() {
        return Err("printed nothing on its first line; the secret belongs there".to_owned());
    }
    Ok(Secret::new(line.to_owned()))
}

/// What comes out of a pipe, as much of it as a secret can be long. The rest is read and thrown away: a full pipe would
/// keep the program from ending.
async fn printed(pipe: Option<impl AsyncRead + Unpin>) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    if let Some(mut pipe) = pipe {
        // A pipe that fails has nothing more to say; the exit status judges.
        let _ = (&mut pipe).take(LONGEST).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    bytes
}

fn failed(status: ExitStatus, stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr);
    let line: String = stderr.lines().next().unwrap_or_default().trim().chars().take(MAX_COMPLAINT).collect();
    let said = if line.is_empty() { "said nothing".to_owned() } else { format!("said: {line}") };
    format!("failed ({status}) and {said}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn told(script: &str) -> Result<Secret<String>, String> {
        first_line("sh", &["-c", script], Path::new("/"), PATIENCE)
    }

    #[test]
    fn the_first_line_is_the_secret() {
        for script in
            ["echo planted", "printf 'planted\\r\\nmore\\n'", "printf planted; yes | head -c 300000"]
        {
            let secret = told(script).unwrap();
            assert!(secret.expose().starts_with("planted"), "{script}");
        }
        assert_eq!(told("printf 'two words \\n'").unwrap().expose(), "two words ");
    }

    #[test]
    fn a_program_that_fails_is_told_with_its_own_words_and_without_the_secret() {
        for (script, expected) in [
            (
                "echo planted; echo 'is locked' >&2; echo more >&2; exit 3",
                "failed (exit status: 3) and said: is locked",
            ),
            ("echo planted; exit 1", "failed (exit status: 1) and said nothing"),
            ("echo planted; kill -9 $$", "failed (signal: 9 (SIGKILL)) and said nothing"),
            ("exit 0", "printed nothing on its first line; the secret belongs there"),
            ("echo; echo planted", "printed nothing on its first line; the secret belongs there"),
            ("printf 'planted\\377'", "printed something that is not UTF-8"),
        ] {
            assert_eq!(told(script).unwrap_err(), expected, "{script}");
        }
        let missing = first_line("/nonexistent/pass", &[], Path::new("/"), PATIENCE).unwrap_err();
        assert!(missing.starts_with("cannot be run: No such file"), "{missing}");
    }

    #[test]
    fn a_program_that_does_not_end_is_stopped() {
        let stopped = first_line("sleep", &["600"], Path::new("/"), Duration::from_millis(100)).unwrap_err();
        assert_eq!(stopped, "did not end within 0.1 s, and was stopped");
    }

    #[test]
    fn arguments_reach_the_program_as_they_are_written_and_a_path_starts_at_the_folder() {
        let secret = first_line("bin/echo", &["$HOME; a  b"], Path::new("/"), PATIENCE).unwrap();
        assert_eq!(secret.expose(), "$HOME; a  b");
    }
}
