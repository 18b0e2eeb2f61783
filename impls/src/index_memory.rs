//! Memory for the tables of an index: the root table, root pages and usages of one layout. Every
//! layout allocates its tables here, so that all of them lie in the same kind of memory and are
//! counted.
//!
//! Linux keeps these tables in its direct map, which x86-64 maps with pages of 2 MiB or 1 GiB.
//! [`IndexPages::Huge`] does the same here. [`IndexPages::Base`] shows the cost of 4 KiB pages.
//!
//! ```text
//!  2 MiB boundary
//!  | random | root table | usages of boot sections | root page | slab of usages | root page | … not yet backed … |
//! ```
//!
//! Sizes and alignments are those of the kernel's allocators:
//!
//! | table | in Linux | here |
//! | --- | --- | --- |
//! | root table | `memblock_alloc`, aligned to `1 << INTERNODE_CACHE_SHIFT` | aligned to 64 B |
//! | usages of boot sections | `memblock_alloc`, one block a node | one block, aligned to 64 B |
//! | root page | `memblock_alloc`, or `kzalloc` of a page | an aligned page |
//! | usage of a hot-added section | `kzalloc`: 56 B come from `kmalloc-64` | a size class, from slabs of 4 KiB |
//!
//! All huge pages start at the same cache set. Without the random start, the tables of two layouts
//! would compete for the same cache sets, and other layouts would not.
//!
//! Under sanitizers and fuzzers each table is a heap allocation, so that a use after free is
//! detected.

use crate::backing::{BackingError, Memory, RamBacking};
use crate::memmap::{Config, IndexPages};
use crate::store::{IndexAccount, RecordStore};
use crate::stretch::Stretch;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::alloc::{self, Layout};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a cache line.
const LINE: u64 = 64;

/// Upper bound, in bytes, of the first table's random offset.
const LAST_START: u64 = 1 << 20;

/// Size in bytes of a slab, which is divided into objects of one size class.
const SLAB: u64 = 4 << 10;

/// Granularity, in bytes, of backing the tables: a huge page, or some base pages.
const fn step(pages: IndexPages) -> u64 {
    match pages {
        IndexPages::Huge => 2 << 20,
        IndexPages::Base => 64 << 10,
    }
}

/// True if each table is a heap allocation.
const ON_HEAP: bool = cfg!(any(twin, fuzzing));

/// The size class in bytes from which `kmalloc` serves a request. Source: `mm/slab_common.c`.
const fn size_class(bytes: u64) -> u64 {
    match bytes {
        0..=8 => 8,
        65..=96 => 96,
        129..=192 => 192,
        _ => bytes.next_power_of_two(),
    }
}

/// Upper bound of the address space, in bytes, for `nr` objects of `size` bytes.
pub(crate) const fn slab_bytes(nr: u64, size: u64) -> u64 {
    let class = size_class(size);
    if class < SLAB { nr.div_ceil(SLAB / class) * SLAB } else { nr * class }
}

/// State of the allocator.
#[derive(Debug)]
struct State {
    /// Offset of the first byte that was never allocated.
    next: u64,
    /// Offset of the first byte that is not backed.
    backed_end: u64,
    /// For each size class, the first free object. Its first word is the offset of the next one, or
    /// [`END`].
    free: Vec<(u64, u64)>,
}

/// Marks the end of a free list; no object has this offset.
const END: u64 = u64::MAX;

/// Zeroed memory for tables that one writer allocates and frees.
///
/// ```
/// use memmap_layouts::index_memory::IndexMemory;
/// use memmap_layouts::{Config, RecordStore};
///
/// let store = RecordStore::unlimited();
/// let memory = IndexMemory::reserve(4096, &Config::default(), &store)?;
/// let table = memory.array_of(&[7u64, 8, 9]).expect("there is memory for 24 bytes");
/// assert_eq!((table[2], store.index.bytes()), (9, 24));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IndexMemory {
    memory: Arc<Memory>,
    pages: IndexPages,
    /// True if the memory may be huge; with [`IndexPages::Huge`] it is false where the machine has
    /// no such pages.
    may_be_huge: bool,
    state: Mutex<State>,
    account: IndexAccount,
}

impl IndexMemory {
    /// Reserves address space for tables of `len` bytes in total. The seed of `config` determines
    /// where the first table begins. What is allocated is added to [`RecordStore::index`].
    ///
    /// # Errors
    /// The address space cannot be reserved.
    pub fn reserve(len: u64, config: &Config, store: &RecordStore) -> Result<Self, BackingError> {
        let Config { seed, index_pages: pages } = *config;
        // Alignment may skip some bytes between tables.
        let len = len.saturating_add(LAST_START).saturating_add(step(IndexPages::Huge));
        let huge = match pages {
            IndexPages::Huge => Memory::reserve(len, &RamBacking::Linux).ok(),
            IndexPages::Base => None,
        };
        let may_be_huge = huge.is_some();
        let memory = huge.map_or_else(|| Memory::reserve(len, &RamBacking::Anon), Ok)?;
        let start = Pcg64Mcg::seed_from_u64(seed).random_range(0..LAST_START / LINE) * LINE;
        let backed_end = start & !(step(pages) - 1);
        let state = Mutex::new(State { next: start, backed_end, free: Vec::new() });
        Ok(Self { memory: Arc::new(memory), pages, may_be_huge, state, account: store.index.clone() })
    }

    /// Bytes that huge pages back now, as the kernel reports. Whole huge pages are counted, so it
    /// may exceed the size of the tables. `None` if base pages were requested or the kernel does
    /// not report it.
    pub fn bytes_in_huge_pages(&self) -> Option<u64> {
        match (self.pages, self.may_be_huge) {
            (IndexPages::Base, _) => None,
            (IndexPages::Huge, false) => Some(0),
            (IndexPages::Huge, true) => self.memory.bytes_in_huge_pages(),
        }
    }

    /// Allocates a zeroed array, which keeps the memory mapped while it lives. `None` if there is
    /// no memory.
    ///
    /// # Safety
    /// All-zero bytes must be a valid `T`, and `T` must need no drop.
    pub unsafe fn array<T>(&self, len: usize) -> Option<Array<T>> {
        const { assert!(!std::mem::needs_drop::<T>() && align_of::<T>() <= LINE as usize) };
        let layout = Layout::array::<T>(len.max(1)).and_then(|layout| layout.align_to(LINE as usize)).ok()?;
        let first = match ON_HEAP {
            // SAFETY: the layout is not empty.
            true => NonNull::new(unsafe { alloc::alloc_zeroed(layout) })?,
            false => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                self.pointer(self.take(&mut state, layout.size() as u64, LINE)?)
            }
        };
        let bytes = (len * size_of::<T>()) as u64;
        self.account.allocated(bytes);
        let memory = Arc::clone(&self.memory);
        Some(Array { first: first.cast(), len, layout, account: self.account.clone(), _memory: memory })
    }

    /// Allocates an array with these elements. `None` if there is no memory.
    pub fn array_of<T: Copy>(&self, elements: &[T]) -> Option<Array<T>> {
        // SAFETY: every element is written before anybody can read one, and what is `Copy` needs no
        // drop.
        let array = unsafe { self.array::<T>(elements.len()) }?;
        // SAFETY: the array has as many elements, and nobody else has it yet.
        unsafe { array.first.as_ptr().copy_from_nonoverlapping(elements.as_ptr(), elements.len()) };
        Some(array)
    }

    /// Allocates a zeroed object from its size class, at least of 8 bytes and aligned to its class.
    /// `None` if there is no memory.
    ///
    /// # Panics
    /// The layout is smaller than 8 bytes or than `T`.
    pub fn alloc<T>(&self, layout: Layout) -> Option<NonNull<T>> {
        assert!(layout.size() >= size_of::<u64>() && layout.size() >= size_of::<T>(), "an object has at least 8 bytes");
        let object = self.object(layout)?;
        self.account.allocated(layout.size() as u64);
        Some(object.cast())
    }

    fn object(&self, layout: Layout) -> Option<NonNull<u8>> {
        if ON_HEAP {
            // SAFETY: the layout is not empty.
            return NonNull::new(unsafe { alloc::alloc_zeroed(layout) });
        }
        let class = size_class(layout.size() as u64);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = match state.pop(class, self) {
            Some(free) => {
                // SAFETY: it is backed, and nobody else has it.
                unsafe { self.pointer(free).write_bytes(0, class as usize) };
                free
            }
            None => self.new_object(&mut state, class)?,
        };
        debug_assert!(offset.is_multiple_of(layout.align() as u64));
        Some(self.pointer(offset))
    }

    /// Frees an object.
    ///
    /// # Safety
    /// It must come from [`alloc`](Self::alloc) of this memory with this layout, not be freed
    /// twice, and be unreachable for others.
    pub unsafe fn free<T>(&self, object: NonNull<T>, layout: Layout) {
        self.account.freed(layout.size() as u64);
        if ON_HEAP {
            // SAFETY: the caller guarantees that `alloc` returned the object for this layout, that
            // it is freed once, and that nobody else can reach it.
            return unsafe { alloc::dealloc(object.as_ptr().cast(), layout) };
        }
        let class = size_class(layout.size() as u64);
        let offset = (object.addr().get() - self.memory.base().addr().get()) as u64;
        if cfg!(debug_assertions) {
            // SAFETY: it is backed, and the caller says that nobody can reach it. 0x6b is what the
            // kernel's slab poison uses.
            unsafe { self.pointer(offset).write_bytes(0x6b, class as usize) };
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).push(class, offset, self);
    }

    /// An object that was never allocated: the first one of a new slab, whose others are added to
    /// the free list.
    fn new_object(&self, state: &mut State, class: u64) -> Option<u64> {
        if class >= SLAB {
            return self.take(state, class, class);
        }
        let slab = self.take(state, SLAB, SLAB)?;
        // In reverse, so that the lowest address is allocated first.
        for nr in (1..SLAB / class).rev() {
            state.push(class, slab + nr * class, self);
        }
        Some(slab)
    }

    /// Allocates bytes that were never used, and backs them.
    fn take(&self, state: &mut State, len: u64, align: u64) -> Option<u64> {
        let offset = state.next.checked_next_multiple_of(align)?;
        let end = offset.checked_add(len).filter(|&end| end <= self.memory.len_bytes())?;
        if let Some(more) = Stretch::from_to(state.backed_end, end.next_multiple_of(step(self.pages))) {
            self.memory.populate(more).ok()?;
            state.backed_end = more.end();
        }
        state.next = end;
        Some(offset)
    }

    fn pointer(&self, offset: u64) -> NonNull<u8> {
        debug_assert!(offset < self.memory.len_bytes());
        // SAFETY: the offset lies in the memory.
        unsafe { self.memory.base().add(offset as usize) }
    }
}

impl State {
    fn pop(&mut self, class: u64, memory: &IndexMemory) -> Option<u64> {
        let (_, first) = self.free.iter_mut().find(|(size, first)| *size == class && *first != END)?;
        let offset = *first;
        // SAFETY: free objects are backed, aligned to a word, and hold the offset of the next.
        *first = unsafe { memory.pointer(offset).cast().read() };
        Some(offset)
    }

    fn push(&mut self, class: u64, offset: u64, memory: &IndexMemory) {
        let at = self.free.iter().position(|&(size, _)| size == class).unwrap_or_else(|| {
            self.free.push((class, END));
            self.free.len() - 1
        });
        // SAFETY: the object is backed, aligned to a word, and nobody has it.
        unsafe { memory.pointer(offset).cast().write(self.free[at].1) };
        self.free[at].1 = offset;
    }
}

/// A fixed array of the index, freed only with the whole index.
#[derive(Debug)]
pub struct Array<T> {
    first: NonNull<T>,
    len: usize,
    layout: Layout,
    account: IndexAccount,
    _memory: Arc<Memory>,
}

// SAFETY: it owns its elements, as a box does.
unsafe impl<T: Send> Send for Array<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Array<T> {}

impl<T> Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `array` made room for so many zeroed elements, nobody else has them, and the
        // memory lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        self.account.freed((self.len * size_of::<T>()) as u64);
        if ON_HEAP {
            // SAFETY: allocated by `array` with this layout.
            unsafe { alloc::dealloc(self.first.as_ptr().cast(), self.layout) };
        }
    }
}

#[cfg(all(test, not(any(loom, twin))))]
mod tests {
    use super::*;

    const USAGE: Layout = Layout::new::<[u64; 7]>();

    fn memory(pages: IndexPages, seed: u64) -> IndexMemory {
        let config = Config { seed, index_pages: pages };
        IndexMemory::reserve(8 << 20, &config, &RecordStore::unlimited()).unwrap()
    }

    fn offset<T>(memory: &IndexMemory, object: NonNull<T>) -> u64 {
        (object.addr().get() - memory.memory.base().addr().get()) as u64
    }

    #[test]
    fn sizes_have_the_classes_of_kmalloc() {
        let classes = [(8, 8), (9, 16), (48, 64), (56, 64), (64, 64), (65, 96), (97, 128), (129, 192), (193, 256)];
        assert!(classes.iter().all(|&(size, class)| size_class(size) == class));
        assert_eq!((slab_bytes(65, 56), slab_bytes(42, 80), slab_bytes(3, 4096)), (2 * SLAB, SLAB, 3 * SLAB));
    }

    #[test]
    fn the_first_table_begins_at_a_random_cache_line() {
        let starts: Vec<u64> = (0..20)
            .map(|seed| {
                let memory = memory(IndexPages::Base, seed);
                // SAFETY: zero is a number.
                offset(&memory, unsafe { memory.array::<u64>(9) }.unwrap().first)
            })
            .collect();
        assert!(starts.iter().all(|start| start % LINE == 0 && *start < LAST_START), "{starts:?}");
        let mut sets: Vec<u64> = starts.iter().map(|start| start / LINE % 64).collect();
        sets.sort_unstable();
        sets.dedup();
        assert!(sets.len() > 10, "of 64 cache sets: {sets:?}");
    }

    #[test]
    fn objects_do_not_overlap_and_come_back_zeroed() {
        for pages in [IndexPages::Base, IndexPages::Huge] {
            let memory = memory(pages, 1);
            for _ in 0..2 {
                let objects: Vec<NonNull<[u64; 7]>> = (0..200).map(|_| memory.alloc(USAGE).unwrap()).collect();
                for (nr, object) in objects.iter().enumerate() {
                    assert_eq!(object.addr().get() % 64, 0, "a usage fits one cache line");
                    // SAFETY: the object is ours.
                    assert_eq!(unsafe { object.read() }, [0; 7]);
                    // SAFETY: as above.
                    unsafe { object.write([nr as u64; 7]) };
                }
                for (nr, object) in objects.into_iter().enumerate() {
                    // SAFETY: the object is ours, and freed once.
                    unsafe {
                        assert_eq!(object.read(), [nr as u64; 7]);
                        memory.free(object, USAGE);
                    }
                }
            }
            let state = memory.state.lock().unwrap();
            assert!(state.next <= LAST_START + 5 * SLAB, "freed objects are used again");
        }
    }

    #[test]
    fn the_account_counts_allocated_bytes() {
        let store = RecordStore::unlimited();
        let memory = IndexMemory::reserve(1 << 20, &Config::default(), &store).unwrap();
        let array = memory.array_of(&[3u32, 4, 5]).unwrap();
        let object: NonNull<u64> = memory.alloc(USAGE).unwrap();
        assert_eq!((&*array, store.index.bytes()), (&[3, 4, 5][..], 12 + 56));
        // SAFETY: the object is ours, and freed once.
        unsafe { memory.free(object, USAGE) };
        assert_eq!(store.index.bytes(), 12);
        drop(array);
        assert_eq!(store.index.bytes(), 0);
    }

    #[test]
    fn pages_are_aligned_and_an_array_outlives_the_allocator() {
        let memory = memory(IndexPages::Base, 7);
        // SAFETY: zero is a number.
        let array = unsafe { memory.array::<u64>(10_000) }.unwrap();
        let page: NonNull<u64> = memory.alloc(Layout::from_size_align(65536, 65536).unwrap()).unwrap();
        assert!(page.addr().get().is_multiple_of(65536));
        drop(memory);
        assert!(array.len() == 10_000 && array.iter().all(|word| *word == 0));
    }

    #[test]
    fn an_allocation_beyond_the_reservation_fails() {
        let memory = memory(IndexPages::Base, 1);
        let page = Layout::from_size_align(1 << 20, 1 << 20).unwrap();
        let nr = (0..100).take_while(|_| memory.alloc::<u64>(page).is_some()).count();
        assert!((8..=11).contains(&nr), "{nr}");
        // SAFETY: zero is a number.
        assert!(unsafe { memory.array::<u64>(1 << 20) }.is_none());
        // SAFETY: as above.
        assert!(unsafe { memory.array::<u64>(usize::MAX) }.is_none());
    }

    #[test]
    fn huge_pages_are_reported() {
        assert_eq!(memory(IndexPages::Base, 1).bytes_in_huge_pages(), None);
        let memory = memory(IndexPages::Huge, 1);
        memory.alloc::<u64>(USAGE).unwrap();
        match (memory.may_be_huge, memory.bytes_in_huge_pages()) {
            (true, Some(0)) => eprintln!("skipped: the kernel found no free huge page"),
            (true, bytes) => assert_eq!(bytes, Some(2 << 20)),
            (false, bytes) => assert_eq!(bytes, Some(0), "the machine has none"),
        }
    }
}
