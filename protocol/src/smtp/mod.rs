//! The SMTP submission login in both roles: RFC 5321, RFC 4954, RFC 3207.

pub mod client;
pub mod command;
pub mod data;
pub mod reply;
pub mod server;

pub use client::Client;
pub use server::{Server, goodbye};
