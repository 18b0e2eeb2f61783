//! The contestants `compiled-VERSION`: Linux's own lookups, compiled from the headers of a kernel.
//!
//! The records, and what the rules make of additions and removals, are those of
//! [`Subsection`]. The root table, section descriptors and usages are built a second time, to the
//! sizes and offsets of the kernel, and the compiled code reads only those. It knows nothing of grace
//! periods, so the tables are locked while it runs, and it does not run beside a writer.

mod contestant;
mod counted;
mod tables;

use self::contestant::Compiled;
pub(in crate::engine) use self::counted::count_instructions;
use crate::case::{self, COMPILED, Layout};
use crate::engine::conditions::ChosenKernel;
use crate::engine::contestant::{Boot, Entry};
use crate::kernel::alternatives::PagingLevels;
use crate::kernel::cache::{Cache, CacheError, Kernel};
use crate::kernel::code::Code;
use crate::kernel::error::ImageError;
use crate::record::instructions::Case;
use crate::record::layout_note::KernelNote;
use memmap_layouts::layouts::Subsection;
use memmap_layouts::{Geometry, Memmap, Page, X86_64};
use std::any::Any;
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;

/// The layout whose records and rules a compiled kernel shares.
type Twin = Subsection<X86_64>;

/// A compiled kernel that takes part in the races of this process.
#[derive(Debug)]
struct Registered {
    layout: Layout,
    note: KernelNote,
    code: Arc<Code>,
}

impl Registered {
    fn chosen(&self) -> ChosenKernel {
        let KernelNote { release, sha256, .. } = self.note.clone();
        ChosenKernel { id: self.layout.id.to_owned(), release, sha256 }
    }
}

/// The compiled kernels of this process. Nothing is removed: rows and reports refer to their ids.
static REGISTERED: RwLock<Vec<&'static Registered>> = RwLock::new(Vec::new());

fn registered() -> Vec<&'static Registered> {
    REGISTERED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Why a kernel cannot take part in a race.
#[derive(Debug, Error)]
pub enum KernelError {
    /// It was not added, or its files cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Two releases of one version would have the same id.
    #[error("Linux {first} and {second} are both {id}; race them in two runs")]
    Twice {
        /// The release that has the id.
        first: String,
        /// The other release.
        second: String,
        /// The id.
        id: &'static str,
    },
    /// Its object file cannot be loaded, e.g. because another version of this program made it.
    #[error("Linux {release}: {source}; add it again: pfnbench kernel add {version}")]
    Object {
        /// The release.
        release: String,
        /// The version.
        version: String,
        /// What is wrong with the file.
        source: ImageError,
    },
    /// The object file is another than when the run began.
    #[error("Linux {release} was added again since this run began; start a new run")]
    Changed {
        /// The release.
        release: String,
    },
    /// A thread cannot have per-CPU data of its own, as in some sandboxes.
    #[error("compiled kernels need %gs, which this system does not let a program set: {0}")]
    PerCpu(std::io::Error),
}

/// Adds the contestants `compiled-VERSION` of kernels that are chosen by versions such as `6.1` or
/// by releases. `seed` chooses where in a page their code begins. A kernel that was registered
/// before stays as it is.
///
/// # Errors
/// [`KernelError`]; the kernels before the failing one are registered.
pub fn choose(kernels: &[String], seed: u64) -> Result<Vec<ChosenKernel>, KernelError> {
    let add = |version: &String| {
        let cache = Cache::from_user()?;
        Ok(register_one(&cache, cache.find(version)?, seed)?.chosen())
    };
    kernels.iter().map(add).collect()
}

/// Adds the contestants of kernels that a run has chosen before.
///
/// # Errors
/// [`KernelError`], also if a kernel was added again since.
pub fn register(chosen: &[ChosenKernel], seed: u64) -> Result<(), KernelError> {
    for kernel in chosen {
        let cache = Cache::from_user()?;
        let found = cache.find(&kernel.release)?;
        if found.sha256 != kernel.sha256 {
            return Err(KernelError::Changed { release: found.release });
        }
        register_one(&cache, found, seed)?;
    }
    Ok(())
}

fn register_one(cache: &Cache, kernel: Kernel, seed: u64) -> Result<&'static Registered, KernelError> {
    let id = format!("{COMPILED}{}", kernel.version);
    if let Some(known) = registered().into_iter().find(|known| known.layout.id == id) {
        let (first, second, id) = (known.note.release.clone(), kernel.release, known.layout.id);
        return if first == second { Ok(known) } else { Err(KernelError::Twice { first, second, id }) };
    }
    let levels = PagingLevels::from_processor();
    let code = Code::load(&cache.object(&kernel)?, levels, seed).map_err(|source| KernelError::Object {
        release: kernel.release.clone(),
        version: kernel.version.clone(),
        source,
    })?;
    code.enter().map_err(KernelError::PerCpu)?;
    let note = KernelNote {
        release: kernel.release,
        compiler: kernel.compiler,
        kernel_compiler: kernel.kernel_compiler,
        paging_levels: levels.number(),
        sha256: kernel.sha256,
    };
    let layout = Layout {
        id: Box::leak(id.into_boxed_str()),
        about: Box::leak(note.to_string().into_boxed_str()),
        caps: Twin::CAPS,
        load_chain: Twin::LOAD_CHAIN,
        record_bytes: size_of::<Page>() as u64,
    };
    case::add_layouts(vec![layout]);
    let new: &'static Registered = Box::leak(Box::new(Registered { layout, note, code: Arc::new(code) }));
    REGISTERED.write().unwrap_or_else(PoisonError::into_inner).push(new);
    Ok(new)
}

/// The kernel of a layout; `None` for a layout of this program.
pub fn note(id: &str) -> Option<KernelNote> {
    let own_id = id.split('#').next().unwrap_or(id);
    registered().into_iter().find(|kernel| kernel.layout.id == own_id).map(|kernel| kernel.note.clone())
}

/// The kernel of a layout, as a run chooses it; `None` for a layout of this program.
pub fn chosen(id: &str) -> Option<ChosenKernel> {
    registered().into_iter().find(|kernel| kernel.layout.id == id).map(Registered::chosen)
}

/// The cases of a compiled kernel whose instructions are counted; `None` for a layout of this program.
pub fn counted_cases(id: &str) -> Option<Vec<Case>> {
    registered().into_iter().find(|kernel| kernel.layout.id == id).map(counted::cases)
}

/// The contestants for an architecture: those of x86-64, none for another.
pub fn entries<G: Geometry>() -> Vec<Entry<G>> {
    let boot: Boot<X86_64> = |id, own_id, map, config, store| {
        let kernel = registered().into_iter().find(|kernel| kernel.layout.id == own_id);
        let kernel = kernel.expect("an entry is of a registered kernel");
        Ok(Box::new(Compiled::boot(id, own_id, Arc::clone(&kernel.code), map, config, store)?))
    };
    let entry = |kernel: &Registered| Entry::new(kernel.layout, Twin::boot_record_bytes, boot);
    let entries: Vec<Entry<X86_64>> = registered().into_iter().map(entry).collect();
    let entries: Box<dyn Any> = Box::new(entries);
    entries.downcast::<Vec<Entry<G>>>().map_or_else(|_| Vec::new(), |entries| *entries)
}
