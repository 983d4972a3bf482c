//! What commands print: aligned columns for people. Nothing from outside moves the cursor of their terminal.

use std::io::{self, Write};

use super::{Exit, Failure};

/// Columns as wide as their widest cell, two blanks between them.
pub(super) fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let head = head.map(str::to_owned);
    let lines: Vec<[String; COLUMNS]> =
        std::iter::once(&head).chain(rows).map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let widest = |column: usize| {
        lines.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(widest);
    let mut text = String::new();
    for row in &lines {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The text without characters that steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// Pieces of at most `width` characters, cut at spaces where there are any; what could move a terminal's cursor becomes `?`.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rest: Vec<char> = printable(text).chars().collect();
    let mut pieces = Vec::new();
    while rest.len() > width {
        let space = rest.iter().take(width + 1).rposition(|character| *character == ' ');
        let behind = rest.split_off(space.filter(|at| *at > 0).unwrap_or(width));
        pieces.push(rest.into_iter().collect());
        rest = behind.into_iter().skip_while(|character| *character == ' ').collect();
    }
    pieces.push(rest.into_iter().collect());
    pieces
}

/// A stable form for scripts.
pub(super) fn json(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// Prints to standard output. A reader that has seen enough, like `head`, is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_heads() {
        let rows = [["1", "jörg", ""], ["20", "a", "Epson\u{1b}[2J"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            table(["ID", "User name", "Label"], &rows),
            "ID  User name  Label\n\
             1   jörg\n\
             20  a          Epson?[2J\n"
        );
    }
}
