//! The POP3 login in both roles: RFC 1939, RFC 5034, RFC 2595.

pub mod client;
pub mod command;
pub mod response;
pub mod server;

pub use client::Client;
pub use server::{Server, goodbye};
