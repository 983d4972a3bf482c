//! What goes wrong, on standard error: in lines that fit the terminal of whoever reads it, and as it is where a program does.
//! Rule: whatever is to be pasted (a command, a path, an address) stands on one line.

use std::io::{IsTerminal, stderr};

use super::style::columns;

/// A terminal that does not say how wide it is.
const USUAL: usize = 80;

/// Below that nothing is gained.
const NARROWEST: usize = 40;

/// Prints it, with a line end behind it.
pub fn complain(text: &str) {
    if stderr().is_terminal() {
        eprintln!("{}", fitted(text, columns(stderr()).unwrap_or(USUAL)));
    } else {
        eprintln!("{text}");
    }
}

/// The text in lines of at most this width. Lines that begin with a blank are laid out already: steps, tables, lines for a file.
fn fitted(text: &str, width: usize) -> String {
    let width = width.max(NARROWEST);
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| if line.starts_with(' ') { line.to_owned() } else { filled(line, width) })
        .collect();
    lines.join("\n")
}

fn filled(line: &str, width: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    for piece in pieces(line) {
        let piece_length = piece.chars().count();
        if length > 0 && length + 1 + piece_length > width {
            text.push('\n');
            length = 0;
        } else if length > 0 {
            text.push(' ');
            length += 1;
        }
        text.push_str(&piece);
        length += piece_length;
    }
    text
}

/// Words, but for what stands between backquotes, and commands: from `gatepost` to the end of the clause.
fn pieces(line: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut is_open = false;
    for word in line.split(' ') {
        let last = pieces.last_mut().filter(|_| is_open);
        let piece = if let Some(piece) = last {
            piece.push(' ');
            piece.push_str(word);
            &*piece
        } else {
            pieces.push(word.to_owned());
            word
        };
        is_open = is_unfinished(piece);
    }
    pieces
}

fn is_unfinished(piece: &str) -> bool {
    if piece.matches('`').count() % 2 == 1 {
        return true;
    }
    let is_command = ["gatepost", "sudo", "chown", "chmod"].iter().any(|program| {
        piece.strip_prefix(program).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    });
    is_command && !piece.ends_with([';', ',', '.', ':', ')', '?'])
}

#[cfg(test)]
mod tests {
    use super::fitted;

    #[test]
    fn lines_fit_and_what_is_to_be_pasted_stands_on_one() {
        for (text, expected) in [
            ("short", "short"),
            (
                "one two three four five six seven eight nine ten",
                "one two three four five six seven eight\nnine ten",
            ),
            (
                "ann@example.com does not work yet; then: gatepost test ann@example.com",
                "ann@example.com does not work yet; then:\ngatepost test ann@example.com",
            ),
            (
                "it is left: gatepost account remove ann@example.com --provider contoso; or leave it as it is, then",
                "it is left:\ngatepost account remove ann@example.com --provider contoso;\nor leave it as it is, then",
            ),
            (
                "write into the file one of the two keys `client_secret: { file: /path/to/secret }` and so on",
                "write into the file one of the two keys\n`client_secret: { file: /path/to/secret }`\nand so on",
            ),
            (
                "https://login.example/a/very/long/address/that/is/wider/than/the/line is shown",
                "https://login.example/a/very/long/address/that/is/wider/than/the/line\nis shown",
            ),
            (
                "The words before it fit.\n  - what is laid out already is left as it is, however wide it may be\n\n",
                "The words before it fit.\n  - what is laid out already is left as it is, however wide it may be\n\n",
            ),
        ] {
            assert_eq!(fitted(text, 40), expected);
            assert_eq!(fitted(text, 1), expected, "nothing is cut up for a terminal that is too narrow");
            assert_eq!(fitted(text, 1000), text);
        }
    }
}
