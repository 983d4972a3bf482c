//! The transcript: left what the old program said and heard, right what Gatepost said upstream and heard, in the order in
//! which it happened. `C:` and `S:` are the two ends on the left, `P:` (we, the proxy) and `U:` (upstream) on the right.

use super::super::table::wrapped;
use crate::sandbox::record::{Dialogue, Line, Speaker};

/// Lays the two sides next to each other, `width` characters wide.
pub(super) fn side_by_side(client: &Dialogue, upstream: &Dialogue, width: usize, colour: bool) -> String {
    let column = (width.max(40) - SEPARATOR.len()) / 2;
    let mut rows: Vec<(Side, &Line)> = client.lines.iter().map(|line| (Side::Client, line)).collect();
    rows.extend(upstream.lines.iter().map(|line| (Side::Upstream, line)));
    // Stable, so that lines of one instant keep their order.
    rows.sort_by_key(|(_, line)| line.at);
    let mut text = String::new();
    for (side, line) in rows {
        let prefix = match (side, line.speaker) {
            (Side::Client, Speaker::Client) => "C: ",
            (Side::Client, Speaker::Server) => "S: ",
            (Side::Upstream, Speaker::Client) => "P: ",
            (Side::Upstream, Speaker::Server) => "U: ",
        };
        for (index, part) in wrapped(&line.text, column - prefix.len()).into_iter().enumerate() {
            let part = format!("{}{part}", if index == 0 { prefix } else { "   " });
            let cell = format!("{part:<column$}");
            let cell = if colour && line.speaker == Speaker::Server {
                format!("\x1b[2m{cell}\x1b[0m")
            } else {
                cell
            };
            let row = match side {
                Side::Client => format!("{cell}{SEPARATOR}"),
                Side::Upstream => format!("{:column$}{SEPARATOR}{cell}", ""),
            };
            text.push_str(row.trim_end());
            text.push('\n');
        }
    }
    text
}

const SEPARATOR: &str = " | ";

#[derive(Clone, Copy)]
enum Side {
    Client,
    Upstream,
}

#[cfg(test)]
mod tests {
    use super::side_by_side;
    use crate::sandbox::record::{Dialogue, Speaker};

    #[test]
    fn both_sides_stand_in_the_order_of_time_and_wrap_in_their_column() {
        let (mut client, mut upstream) = (
            Dialogue::new(gatepost_protocol::Protocol::Smtp),
            Dialogue::new(gatepost_protocol::Protocol::Smtp),
        );
        client.push(Speaker::Client, "AUTH LOGIN");
        upstream.push(Speaker::Server, "220 a greeting that is long");
        upstream.push(Speaker::Client, "dXNlcj1hZGFAZXhhbXBsZS5jb20B");
        upstream.push(Speaker::Client, "QUIT");
        client.push(Speaker::Server, "235 in");
        let expected = "\
C: AUTH LOGIN      |
                   | U: 220 a greeting
                   |    that is long
                   | P: dXNlcj1hZGFAZXh
                   |    hbXBsZS5jb20B
                   | P: QUIT
S: 235 in          |
";
        assert_eq!(side_by_side(&client, &upstream, 40, false), expected);
    }
}
