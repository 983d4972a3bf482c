//! The messages of the load: any size, the same octets in every process, so that each side knows by itself what must arrive.

use std::fmt::Write as _;

use anyhow::ensure;
use aws_lc_rs::digest::{SHA256, digest};

/// Octets of each line, with its CRLF.
const LINE: usize = 64;

/// A message as it goes over the wire: lines ended by CRLF, dots stuffed, without the final dot.
pub struct Message {
    /// All of its octets.
    pub wire: Vec<u8>,
    /// Their SHA-256, as [`hex`] writes it.
    pub digest: String,
}

impl Message {
    /// The message that has as many KiB on the wire.
    pub fn of_kib(kib: usize) -> anyhow::Result<Self> {
        ensure!((1..=256 * 1024).contains(&kib), "a message has 1 KiB to 256 MiB, not {kib} KiB");
        let wire = text(kib * 1024 / LINE)?.into_bytes();
        let digest = hex(digest(&SHA256, &wire).as_ref());
        Ok(Self { wire, digest })
    }
}

/// Every line has its number, so that octets at the wrong place are found. Every eighth begins with a dot, which is stuffed.
fn text(lines: usize) -> anyhow::Result<String> {
    let mut text = String::with_capacity(lines * LINE);
    write!(text, "{:-<60}\r\n\r\n", "Subject: ")?;
    for number in 1..lines {
        let dots = if number % 8 == 0 { ".." } else { "  " };
        write!(text, "{dots}{number:-<60}\r\n")?;
    }
    Ok(text)
}

/// Octets in hexadecimal digits.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut digits, octet| {
        // Writing to a string cannot fail.
        let _written = write!(digits, "{octet:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_size_and_no_bare_dot() -> anyhow::Result<()> {
        for kib in [1, 4, 25] {
            let wire = Message::of_kib(kib)?.wire;
            assert_eq!(wire.len(), kib * 1024);
            assert!(wire.ends_with(b"\r\n"));
            let lines = String::from_utf8(wire)?;
            assert!(
                lines.split_terminator("\r\n").all(|line| !line.starts_with('.') || line.starts_with(".."))
            );
            assert!(lines.contains("\r\n..8-"), "a dot is stuffed");
        }
        Ok(())
    }
}
