//! Compiled kernels on machines other than x86-64 with Linux: there are none.

use crate::engine::conditions::ChosenKernel;
use crate::engine::contestant::Entry;
use crate::engine::instructions::CaseRunner;
use crate::record::instructions::Case;
use crate::record::layout_note::KernelNote;
use memmap_layouts::Geometry;
use thiserror::Error;

/// Why a kernel cannot take part in a race.
#[derive(Debug, Error)]
pub enum KernelError {
    /// This machine has another architecture or operating system.
    #[error("compiled kernels can be raced on x86-64 with Linux only")]
    NotHere,
}

/// Refuses every kernel.
///
/// # Errors
/// There is a kernel.
pub fn choose(kernels: &[String], _: u64) -> Result<Vec<ChosenKernel>, KernelError> {
    if kernels.is_empty() { Ok(Vec::new()) } else { Err(KernelError::NotHere) }
}

/// Refuses every kernel.
///
/// # Errors
/// There is a kernel.
pub fn register(chosen: &[ChosenKernel], _: u64) -> Result<(), KernelError> {
    if chosen.is_empty() { Ok(()) } else { Err(KernelError::NotHere) }
}

/// No kernel.
pub fn note(_: &str) -> Option<KernelNote> {
    None
}

/// No kernel.
pub fn chosen(_: &str) -> Option<ChosenKernel> {
    None
}

/// No cases.
pub fn counted_cases(_: &str) -> Option<Vec<Case>> {
    None
}

/// Counts nothing.
pub(in crate::engine) fn count_instructions(_: &mut CaseRunner<'_>) {}

/// No contestants.
pub fn entries<G: Geometry>() -> Vec<Entry<G>> {
    Vec::new()
}
