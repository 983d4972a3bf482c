//! What the command line does not say is asked for at a terminal. Anywhere else it is an error that names the option.

use std::io::{IsTerminal, stderr, stdin};

use super::super::connect::read_line;
use super::super::{Exit, Failure};

/// Whether there is somebody who could answer.
pub(super) fn is_possible() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

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
            Some(problem) => eprintln!("That {problem}."),
        }
    }
}
