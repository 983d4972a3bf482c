//! [`give_way`]: how a session that has more to do lets the others go first.

use std::pin::pin;
use std::task::Context;

/// Comes back to this task when every other one that is ready has had its turn, and the network has been looked at. Waking ourselves would not do:
/// the runtime goes on with whoever is ready, and looks at the network after many of them only, or when there is none.
pub(super) fn give_way(context: &mut Context<'_>) {
    let others = pin!(tokio::task::yield_now());
    let _comes_back = others.poll(context);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::give_way;

    #[tokio::test]
    async fn whoever_the_network_has_something_for_waits_for_few_turns_of_one_that_always_has_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut near, _) = listener.accept().await.unwrap();
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        let busy = tokio::spawn(poll_fn(move |context| {
            counted.fetch_add(1, Ordering::Relaxed);
            give_way(context);
            Poll::<()>::Pending
        }));
        let echo = tokio::spawn(async move {
            let mut line = [0; 6];
            while near.read_exact(&mut line).await.is_ok() {
                near.write_all(&line).await.unwrap();
            }
        });
        let mut waited = Vec::new();
        for _ in 0..101 {
            let before = turns.load(Ordering::Relaxed);
            far.write_all(b"NOOP\r\n").await.unwrap();
            far.read_exact(&mut [0; 6]).await.unwrap();
            waited.push(turns.load(Ordering::Relaxed) - before);
        }
        assert!(turns.load(Ordering::Relaxed) > 100, "it always has more");
        busy.abort();
        echo.abort();
        waited.sort_unstable();
        assert!(waited[50] <= 8, "{waited:?}");
    }
}
