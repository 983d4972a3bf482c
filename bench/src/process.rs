//! What processes cost: processor time and memory, read from `/proc`.
