//! What the command line does not say is asked for at a terminal. Anywhere else it is an error that names the option.

use zeroize::Zeroizing;

use super::super::connect::read_line;
use super::super::{Exit, Failure, complain, mailbox_password};

pub(super) use super::super::confirm::is_possible;

/// Asks until the answer will do; `wrong` says what is wrong with one. `option` is what a script has to write instead.
pub(super) async fn answer(
    question: &str,
    option: &str,
    wrong: impl Fn(&str) -> Option<String>,
) -> Result<String, Failure> {
    if !is_possible() {
        return Err(Failure::new(Exit::Failed, format!("{option} is missing: {question}")));
    }
    loop {
        eprint!("{question}: ");
        let Some(line) = read_line().await else {
            return Err(Failure::new(Exit::Failed, format!("the input ended without an answer ({option})")));
        };
        let line = line.trim();
        match wrong(line) {
            None => return Ok(line.to_owned()),
            Some(problem) => complain(&format!("That {problem}.")),
        }
    }
}

/// Asks for something that the terminal is not to show. Ask only where it [`is_possible`].
pub(super) async fn unseen(question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    mailbox_password::typed_unseen(&format!("{question}: ")).await
}

/// Asks for yes or no; Enter is yes. Ask only where it [`is_possible`].
pub(super) async fn yes(question: &str) -> bool {
    eprint!("{question} [Y/n] ");
    let answer = read_line().await.unwrap_or_else(|| "n".to_owned());
    ["", "y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}
