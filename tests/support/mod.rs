//! What the integration tests share.

// Each test program takes its own part of this.
#![allow(dead_code)]

pub mod rehearsal;
pub mod transcript;
