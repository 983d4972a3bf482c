//! What the integration tests share.

// Each test program takes its own part of this, and nobody outside sees any of it.
#![allow(dead_code, unreachable_pub)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what is wrong by panicking"
)]

pub mod leftovers;
pub mod log;
pub mod process;
pub mod rehearsal;
pub mod relay;
pub mod stage;
pub mod token_endpoint;
pub mod told;
pub mod transcript;
pub mod wire;
pub mod world;
