//! A connection read in lines and, where a message comes, in large pieces.

use std::io;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use crate::message::hex;

/// Octets that are read, or written, at once while a message comes.
const PIECE: usize = 128 * 1024;

/// What ends a message, behind the CRLF of its last line.
const FINAL_DOT: &[u8] = b".\r\n";

/// One connection.
pub(super) struct Wire<S> {
    /// Small, since thousands of sessions only wait; large reads go past it.
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: BufReader::with_capacity(512, stream) }
    }

    /// The next line without its end; `None` once the client is gone.
    pub(super) async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line).await?;
        Ok((length > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    pub(super) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        for piece in octets.chunks(PIECE) {
            self.stream.write_all(piece).await?;
            if octets.len() > PIECE {
                // Who asks for little meanwhile is to wait for the program in between, and not for us.
                tokio::task::yield_now().await;
            }
        }
        self.stream.flush().await
    }

    /// A message up to its final dot: its octets as they came, and their SHA-256. Who sends it must wait for the answer.
    pub(super) async fn message(&mut self) -> io::Result<(usize, String)> {
        const END: &[u8] = b"\r\n.\r\n";
        let mut digest = Context::new(&SHA256);
        let mut octets = 0;
        let mut buffer = vec![0; PIECE];
        let mut kept = 0;
        loop {
            let length = self.stream.read(buffer.get_mut(kept..).unwrap_or_default()).await?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let filled = buffer.get(..kept + length).unwrap_or_default();
            let ended = filled.ends_with(END);
            // What may be the beginning of the end waits for the rest of it.
            kept = if ended { FINAL_DOT.len() } else { END.len().min(filled.len()) };
            let whole = filled.len() - kept;
            digest.update(filled.get(..whole).unwrap_or_default());
            octets += whole;
            if ended {
                return Ok((octets, hex(digest.finish().as_ref())));
            }
            buffer.copy_within(whole..whole + kept, 0);
        }
    }

    /// Ends it as TLS wants it.
    pub(super) async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}
