//! Gatepost lets mail programs that only know a user name and a password use mailboxes that only accept OAuth 2.0.
//!
//! Three sequential phases over a pure protocol core (`gatepost-protocol`) that never touches a socket:
//! hear the client out, get in upstream, get out of the way.
//!
//! ```text
//! bytes ─ Stream ─▶ line ─ LineBuffer ─▶ Command ─▶ Credentials ─▶ Account ─ Accounts::verify ─▶
//! AccessToken ─ Tokens::access_token ─▶ upstream login (greeting, STARTTLS, XOAUTH2) ─▶
//! only now success to the client ─▶ splice(client, upstream) ─▶ one log line
//! ```
//!
//! # Map
//! - [`daemon`]: everything that runs, from its start to its drained end.
//! - [`listener`]: accepts and counts connections.
//! - [`session`]: the three phases; the only place where accounts, tokens and protocols meet.
//! - [`address`]: the two sides of an address, and when two are one mailbox.
//! - [`account`]: local login → account; password verification.
//! - [`oauth`]: one call, [`oauth::Tokens::access_token`]; a file per way of getting a grant.
//! - [`renewal`]: refreshes grants before anybody has to wait for it.
//! - [`mailbox_password`]: what `oauth` is for tokens, at a provider that takes passwords.
//! - [`alarm`]: what will end and who is in trouble, told before mail stops.
//! - [`standing`]: how every account and provider stands, for people.
//! - [`submission`]: Gatepost's own messages.
//! - [`trial`]: everything between a mailbox and its mail, tried step by step.
//! - [`store`]: sealed records at rest.
//! - [`backup`]: all of that in one file, under a passphrase.
//! - [`config`]: the YAML file, valid by construction; provider presets.
//! - [`discovery`]: finding the provider of an address.
//! - [`clock`]: wall time, which may jump.
//! - [`jwt`]: what Gatepost signs to say who it is.
//! - [`tls`]: the certificate shown to clients, and the one verifier for everything upstream.
//! - [`sandbox`]: a provider in this process, for the demo and the tests.
//! - [`cli`]: a file per subcommand.
//! - [`hardening`]: what the process asks of the system before it touches a secret.
//! - [`crash_point`]: where a test may kill the process.

pub mod account;
pub mod address;
pub mod alarm;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crash_point;
pub mod daemon;
pub mod diagnosis;
pub mod discovery;
pub mod hardening;
pub mod jwt;
pub mod listener;
pub mod mailbox_password;
pub mod oauth;
mod pause;
mod random;
pub mod renewal;
pub mod sandbox;
pub mod session;
pub mod standing;
pub mod store;
pub mod submission;
pub mod tls;
pub mod trial;
