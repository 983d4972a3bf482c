//! A message behind DATA: every line ends with CRLF, and none but the last is a lone dot (RFC 5321 sections 2.3.8 and 4.5.2).

use crate::dialogue::Output;

/// Writes the message as it goes over the wire, and the dot that ends it. A bare CR or LF becomes CRLF: some providers refuse
/// it, and others could take what stands behind it for commands.
pub fn write_message(message: &[u8], output: &mut Output) {
    let mut rest = message;
    while !rest.is_empty() {
        let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let (line, end) = rest.split_at(length);
        if line.starts_with(b".") {
            output.write(b".");
        }
        output.write(line);
        output.write(b"\r\n");
        rest = end.strip_prefix(b"\r\n").or_else(|| end.get(1..)).unwrap_or_default();
    }
    output.write(b".\r\n");
}

#[cfg(test)]
mod tests {
    use super::write_message;
    use crate::dialogue::Output;

    #[test]
    fn nothing_in_a_message_ends_it() {
        let table: [(&[u8], &[u8]); 10] = [
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n..\r\nQUIT\r\n.\r\n"),
            (b"a\n.\nQUIT\n", b"a\r\n..\r\nQUIT\r\n.\r\n"),
            (b"a\r.\rQUIT", b"a\r\n..\r\nQUIT\r\n.\r\n"),
            (b"a.\r\n..b", b"a.\r\n...b\r\n.\r\n"),
            (b"a\n\r\nb", b"a\r\n\r\nb\r\n.\r\n"),
        ];
        for (message, expected) in table {
            let mut output = Output::default();
            write_message(message, &mut output);
            assert_eq!(output.as_bytes(), expected, "{message:?}");
        }
    }
}
