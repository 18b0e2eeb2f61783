//! Persistent memory: capacity, and refusals in six parts.

pub mod capacity;
pub mod refusal;
pub mod shrunk_media;
