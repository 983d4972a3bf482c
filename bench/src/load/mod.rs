//! The load: a mail program that checks every answer. The same code runs against every contender.
//!
//! Rule: an answer that is not the right one, to the last octet, ends it with an error that says who gave it and what it was.

mod many;
mod session;

pub use self::many::{logins, open, percentile};
pub use self::session::{Client, Session};
