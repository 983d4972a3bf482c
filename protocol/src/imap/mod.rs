//! The IMAP login in both roles: the not-authenticated state of RFC 9051 and RFC 3501.

pub mod client;
pub mod command;
mod login;
mod partial;
pub mod response;
pub mod server;
mod state;

pub use client::Client;
pub use server::{Server, goodbye};
