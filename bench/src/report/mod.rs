//! What a run found, for people.

pub mod axis;
pub mod svg;
