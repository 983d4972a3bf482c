//! Mistakes that can be written down without breaking the form of the file: each rule is a pure function from values to
//! what is wrong with them, and has a code (L01, L02, …) by which [`super::mistakes`] explains it.

mod accounts;
mod ending;
pub(super) mod hosts;
mod ids;
pub(super) mod listeners;
pub(super) mod ports;
pub(super) mod scopes;
pub(super) mod urls;
pub(super) mod words;

pub(crate) use accounts::account_names;
pub(crate) use ending::{ending, ends};
pub(crate) use ids::{client_id, is_guid, needs_secret, tenant};
pub(super) use ids::{
    client_secret, example_client_id, is_refused, needs_own_tenant, not_client_id, same_as_client_id,
};
pub use listeners::ambiguous_user_names;
