//! The layouts of this process: the built-in ones, and those that another crate registered.

use crate::case::{self, CONTROL, Layout};
use crate::engine::compiled;
use crate::engine::contestant::{Entry, entries_of};
use crate::engine::instructions::{CaseRunner, Counter};
use crate::record::instructions::Case;
use memmap_layouts::conformance::{self, Run, Selects};
use memmap_layouts::layouts::{BuiltIn, Family, WhenNamed};
use memmap_layouts::{Arm64Pages4K, Geometry, X86_64, X86_64La57};
use std::any::{Any, TypeId};
use std::sync::OnceLock;
use thiserror::Error;

/// Layouts of another crate, from the macro [`layouts!`](crate::layouts!).
/// [`register`](Layouts::register) adds them to the built-in ones.
///
/// ```
/// // A layout of your own crate goes where Flat is here, with an id of its own.
/// use memmap_layouts::layouts::Flat as Mine;
///
/// let layouts: pfnbench::Layouts = pfnbench::layouts![Mine];
/// assert_eq!(layouts.layouts().len(), 1);
/// assert!(layouts.register().unwrap_err().to_string().contains("\"flat\" is taken"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Layouts {
    x86_64: fn() -> Vec<Entry<X86_64>>,
    arm64: fn() -> Vec<Entry<Arm64Pages4K>>,
    la57: fn() -> Vec<Entry<X86_64La57>>,
    conformance: fn(Selects<'_>) -> Vec<Run>,
    instructions: fn(&mut CaseRunner<'_>),
}

/// Why layouts cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// An id has characters that rows, filters or file names cannot have.
    #[error("layout id {0:?} must consist of a-z, 0-9 and hyphens; try \"my-layout\"")]
    InvalidId(String),
    /// Two layouts have the same id.
    #[error("layout id {id:?} is taken; give Memmap::ID a value other than {taken}")]
    TakenId {
        /// The id that two layouts have.
        id: String,
        /// The ids that are taken, separated by commas.
        taken: String,
    },
    /// [`Layouts::register`] was already called in this process.
    #[error("layouts can be registered once per process; name all of them in one layouts![…]")]
    AlreadyRegistered,
}

impl Layouts {
    /// The layouts of a family.
    pub fn new<F: Family>() -> Self {
        Self {
            x86_64: entries_of::<F, X86_64>,
            arm64: entries_of::<F, Arm64Pages4K>,
            la57: entries_of::<F, X86_64La57>,
            conformance: |selects| conformance::run_selected::<F>(selects),
            instructions: |runner| F::show::<X86_64>(runner),
        }
    }

    /// Static facts about the layouts, in their order.
    pub fn layouts(&self) -> Vec<Layout> {
        (self.x86_64)().iter().map(Entry::layout).collect()
    }

    /// Adds the layouts after the built-in ones, for the rest of the process. Call it first in
    /// `main`: the processes of a run start this program again and need the layouts too.
    ///
    /// # Errors
    /// An id is invalid or taken, or layouts were already registered. Nothing is registered then.
    pub fn register(self) -> Result<(), RegisterError> {
        let layouts = self.layouts();
        check_ids(&layouts)?;
        OUTSIDE.set(self).map_err(|_| RegisterError::AlreadyRegistered)?;
        case::add_layouts(layouts);
        Ok(())
    }

    /// The entries for an architecture; empty if maps are neither raced nor verified on it.
    fn entries<G: Geometry>(&self) -> Vec<Entry<G>> {
        let entries: Box<dyn Any> = match TypeId::of::<G>() {
            id if id == TypeId::of::<X86_64>() => Box::new((self.x86_64)()),
            id if id == TypeId::of::<Arm64Pages4K>() => Box::new((self.arm64)()),
            id if id == TypeId::of::<X86_64La57>() => Box::new((self.la57)()),
            _ => return Vec::new(),
        };
        entries.downcast::<Vec<Entry<G>>>().map_or_else(|_| Vec::new(), |entries| *entries)
    }
}

/// Checks that ids are valid and unique.
fn check_ids(layouts: &[Layout]) -> Result<(), RegisterError> {
    let built_in = case::layouts_of::<BuiltIn, X86_64>();
    let mut taken: Vec<&str> = built_in.iter().map(|layout| layout.id).chain([CONTROL]).collect();
    for id in layouts.iter().map(|layout| layout.id) {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || !id.bytes().all(is_allowed) {
            return Err(RegisterError::InvalidId(id.to_owned()));
        }
        if taken.contains(&id) {
            return Err(RegisterError::TakenId { id: id.to_owned(), taken: taken.join(", ") });
        }
        taken.push(id);
    }
    Ok(())
}

/// The layouts that were registered.
static OUTSIDE: OnceLock<Layouts> = OnceLock::new();

/// Every layout for one architecture: the built-in ones in the order of reports, then the
/// registered ones, then compiled kernels.
pub fn entries<G: Geometry>() -> Vec<Entry<G>> {
    let mut all = entries_of::<BuiltIn, G>();
    all.extend(OUTSIDE.get().into_iter().flat_map(Layouts::entries::<G>));
    all.extend(compiled::entries::<G>());
    all
}

/// Every layout, and those that take part only when they are named ([`WhenNamed`]).
pub fn entries_and_named<G: Geometry>() -> Vec<Entry<G>> {
    let mut all = entries::<G>();
    let named: Box<dyn Any> = Box::new(entries_of::<WhenNamed, X86_64>());
    all.extend(named.downcast::<Vec<Entry<G>>>().map_or_else(|_| Vec::new(), |named| *named));
    all
}

/// True if a layout is not one of another crate.
pub fn is_built_in(id: &str) -> bool {
    OUTSIDE.get().is_none_or(|outside| outside.layouts().iter().all(|layout| layout.id != id))
}

/// Runs the conformance cases that `selects` selects by the ids of layout and case, on the built-in
/// layouts and then on the registered ones.
pub fn conformance_runs(selects: Selects<'_>) -> Vec<Run> {
    let mut runs = conformance::run_built_in(selects);
    runs.extend(OUTSIDE.get().into_iter().flat_map(|outside| (outside.conformance)(selects)));
    runs
}

/// Runs the code whose instructions callgrind counts, and returns the number of cases: on one layout
/// or compiled kernel, else on every layout of the default race.
///
/// # Errors
/// The first wrong answer, with the name of its case.
pub fn count_instructions(only: Option<&str>) -> Result<usize, String> {
    counted(only, Counter::Callgrind).map(|(cases, _)| cases.len())
}

/// As [`count_instructions`], but counts lookups only, and by a time-stamp counter that counts
/// instructions. Returns the cases, and totals as callgrind writes them.
///
/// # Errors
/// The time-stamp counter of this machine counts time, or a wrong answer.
pub fn count_by_time_stamp(only: Option<&str>) -> Result<(Vec<Case>, Vec<u64>), String> {
    match counted(only, Counter::time_stamp()?)? {
        (cases, Counter::TimeStamp(totals)) => Ok((cases, totals)),
        (cases, Counter::Callgrind) => Ok((cases, Vec::new())),
    }
}

fn counted(only: Option<&str>, counter: Counter) -> Result<(Vec<Case>, Counter), String> {
    let mut runner = CaseRunner::new(only, counter)?;
    BuiltIn::show::<X86_64>(&mut runner);
    if let Some(outside) = OUTSIDE.get() {
        (outside.instructions)(&mut runner);
    }
    if only.is_some() {
        WhenNamed::show::<X86_64>(&mut runner);
        compiled::count_instructions(&mut runner);
    }
    runner.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_valid_and_unique() {
        let check = |ids: &[&'static str]| {
            let flat = case::layouts::<X86_64>()[0];
            check_ids(&ids.iter().map(|&id| Layout { id, ..flat }).collect::<Vec<_>>())
        };
        assert_eq!(check(&["mine", "theirs-2"]), Ok(()));
        for (ids, says) in [
            (&["mine", "mine"][..], "\"mine\" is taken"),
            (&["subsection"], "\"subsection\" is taken"),
            (&["control"], "\"control\" is taken"),
            (&["My Layout"], "must consist of a-z"),
            (&[""], "must consist of a-z"),
        ] {
            assert!(check(ids).unwrap_err().to_string().contains(says), "{ids:?}");
        }
    }
}
