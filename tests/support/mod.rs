//! What the integration tests share.

// Each test program takes its own part of this, and none is a library that could export it.
#![allow(dead_code, unreachable_pub)]
// What a test meets unexpectedly should stop it with its place.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod rehearsal;
pub mod transcript;
