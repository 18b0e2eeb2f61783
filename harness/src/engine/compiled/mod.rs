//! The contestants `compiled-VERSION`: Linux's own lookups, compiled from the headers of a kernel.
//!
//! The records, and what the rules make of additions and removals, are those of
//! [`Subsection`]. The root table, section descriptors and usages are built a second time, to the
//! sizes and offsets of the kernel, and the compiled code reads only those. It knows nothing of grace
//! periods, so the tables are locked while it runs, and it does not run beside a writer.

mod code;
mod contestant;
mod tables;

use self::code::Code;
pub use self::code::CompiledError;
use self::contestant::Compiled;
use crate::case::{self, Layout};
use crate::engine::contestant::{Boot, Entry};
use crate::kernel::alternatives::PagingLevels;
use crate::kernel::cache::{Cache, CacheError};
use crate::kernel::image::Image;
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
    /// It does not fit the layouts.
    #[error(transparent)]
    Compiled(#[from] CompiledError),
}

/// Adds a contestant `compiled-VERSION` for each of these kernels, which are versions such as `6.1`
/// or releases. Returns their releases. `seed` chooses where in a page their code begins. A kernel
/// that was registered before stays as it is.
///
/// # Errors
/// [`KernelError`]; the kernels before the failing one are registered.
pub fn register(kernels: &[String], seed: u64) -> Result<Vec<String>, KernelError> {
    let mut releases = Vec::new();
    for version in kernels {
        let cache = Cache::of_user()?;
        let kernel = cache.find(version)?;
        let id = format!("compiled-{}", kernel.version);
        releases.push(kernel.release.clone());
        if registered().iter().any(|known| known.layout.id == id) {
            continue;
        }
        let levels = PagingLevels::of_this_machine();
        let image = Image::load(&cache.object(&kernel)?, levels, seed).map_err(CacheError::from)?;
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
        let code = Arc::new(Code::new(image)?);
        case::add_layouts(vec![layout]);
        let new = Box::leak(Box::new(Registered { layout, note, code }));
        REGISTERED.write().unwrap_or_else(PoisonError::into_inner).push(new);
    }
    Ok(releases)
}

/// The ids of the registered kernels.
pub fn ids() -> Vec<&'static str> {
    registered().iter().map(|kernel| kernel.layout.id).collect()
}

/// The kernel of a layout with this id; `None` for a layout of this program.
pub fn note(id: &str) -> Option<KernelNote> {
    registered().into_iter().find(|kernel| kernel.layout.id == id).map(|kernel| kernel.note.clone())
}

/// The contestants for an architecture: those of x86-64, none for another.
pub fn entries<G: Geometry>() -> Vec<Entry<G>> {
    let boot: Boot<X86_64> = |id, map, config, store| {
        let own = id.split('#').next().unwrap_or(id);
        let kernel = registered().into_iter().find(|kernel| kernel.layout.id == own);
        let kernel = kernel.expect("an entry is of a registered kernel");
        Ok(Box::new(Compiled::boot(id, own, Arc::clone(&kernel.code), map, config, store)?))
    };
    let entry = |kernel: &Registered| Entry::new(kernel.layout, Twin::boot_record_bytes, boot);
    let entries: Vec<Entry<X86_64>> = registered().into_iter().map(entry).collect();
    let entries: Box<dyn Any> = Box::new(entries);
    entries.downcast::<Vec<Entry<G>>>().map_or_else(|_| Vec::new(), |entries| *entries)
}
