//! What Gatepost logs, at the most verbose level, while a test on one thread runs.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt;

/// Hears nothing. With one subscriber alone, `tracing` asks that of the thread that comes by a line of the log first whether
/// anybody wants it, and remembers a no for all: so a test without a log would silence those that have one.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// The log so far, as text and as JSON. It ends when it is dropped.
pub struct Log {
    text: Buffer,
    json: Buffer,
    #[allow(dead_code, reason = "held, not read")]
    guard: Option<DefaultGuard>,
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Everything that is logged on this thread from now on.
    pub fn begin() -> Self {
        LazyLock::force(&SECOND);
        let (mut log, subscriber) = Self::new();
        log.guard = Some(subscriber.set_default());
        log
    }

    /// Everything that is logged on any thread, by whatever library, until the process ends.
    pub fn begin_everywhere() -> Self {
        let (log, subscriber) = Self::new();
        subscriber.init();
        log
    }

    fn new() -> (Self, impl SubscriberInitExt) {
        let (text, json) = (Buffer::default(), Buffer::default());
        let subscriber = tracing_subscriber::registry()
            .with(fmt::layer().with_ansi(false).with_writer(text.clone()))
            .with(fmt::layer().json().flatten_event(true).with_writer(json.clone()));
        (Self { text, json, guard: None }, subscriber)
    }

    /// As text.
    pub fn text(&self) -> String {
        self.text.read()
    }

    /// As JSON, an object a line.
    pub fn json(&self) -> String {
        self.json.read()
    }
}

impl Buffer {
    fn read(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Buffer {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
