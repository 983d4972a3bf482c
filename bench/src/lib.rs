//! Gatepost and the programs that people would pick instead, under the same load, in turn, in one run.
//!
//! ```text
//! load (this process) ─▶ contender (processes of its own, which are measured) ─▶ upstream (a process of its own)
//! ```
//!
//! Rule: what counts is the processor time, the bytes and the memory of the contender's processes, as ratios within one run.

pub mod contender;
pub mod load;
pub mod message;
pub mod process;
pub mod report;
pub mod run;
pub mod upstream;
