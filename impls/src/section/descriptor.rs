//! What a layout keeps of a section: flags, and a pointer to its usage object.

use super::{SECTION_FLAGS, SECTION_HAS_MEM_MAP, SectionUsage};
use crate::subsection_map::SubsectionMap;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The descriptor of a section. Readers load it at any time; only the writer stores.
///
/// Zeroed memory is a blank descriptor: no flags, no usage object.
pub trait Descriptor: Debug + Send + Sync + 'static {
    /// The sub-section map of its usage object.
    type Map: SubsectionMap;
    /// True if [`word`](Self::word) has the coded pointer beside the flags, as the kernel's has.
    const KEEPS_POINTER: bool;

    /// The flags and, if it is kept, the coded pointer. An acquire load: what was written before
    /// the word was set is visible.
    fn word(&self) -> u64;

    /// The usage pointer, or null, with an acquire load.
    fn usage_acquire(&self) -> *const SectionUsage<Self::Map>;

    /// Publishes a word with a release store: a reader that sees it also sees everything written
    /// before.
    fn set_word(&self, word: u64);

    /// Publishes a usage object, or null, with a release store.
    fn set_usage(&self, usage: *mut SectionUsage<Self::Map>);

    /// The usage object; `None` if the section has none.
    ///
    /// # Safety
    /// The caller must be a reader of the layout or its writer, so that the object is not freed
    /// meanwhile.
    #[inline(always)]
    unsafe fn usage(&self) -> Option<&SectionUsage<Self::Map>> {
        // SAFETY: the pointer is null or was published after the object was built; the caller keeps
        // it alive.
        unsafe { self.usage_acquire().as_ref() }
    }

    /// The raw usage pointer, or null. The writer uses it to restore or free the object.
    fn usage_ptr(&self) -> *mut SectionUsage<Self::Map> {
        self.usage_acquire().cast_mut()
    }

    /// Publishes sub-sections whose records are backed and initialised. The order is the reverse of
    /// a reader's: usage pointer (unless `new_usage` is null), taint of a live section (D-3), bits,
    /// word of a cleared section, with `SECTION_HAS_MEM_MAP` added. Writer only.
    fn publish(&self, new_usage: *mut SectionUsage<Self::Map>, bits: Range<u32>, taint: u64, new_word: u64) {
        if !new_usage.is_null() {
            self.set_usage(new_usage);
        }
        let word = self.word();
        let lives = word & SECTION_HAS_MEM_MAP != 0;
        if lives && word & taint != taint {
            self.set_word(word | taint);
        }
        // SAFETY: only the writer frees usages.
        let usage = unsafe { self.usage() }.expect("a published section has a usage");
        usage.subsection_map.set(bits);
        if !lives {
            self.set_word(new_word | SECTION_HAS_MEM_MAP | taint);
        }
    }
}

/// `struct mem_section`: the first 16 bytes of the descriptor of a section. What follows them in
/// larger [`Descriptors`](crate::Descriptors) is unused.
#[derive(Debug)]
#[repr(C)]
pub struct MemSection<M: SubsectionMap> {
    pub(super) section_mem_map: AtomicU64,
    pub(super) usage: AtomicPtr<SectionUsage<M>>,
}

const _: () = assert!(size_of::<MemSection<crate::subsection_map::BitWords<1>>>() == 16);

impl<M: SubsectionMap> Descriptor for MemSection<M> {
    type Map = M;
    const KEEPS_POINTER: bool = true;

    #[inline(always)]
    fn word(&self) -> u64 {
        self.section_mem_map.load(Ordering::Acquire)
    }

    #[inline(always)]
    fn usage_acquire(&self) -> *const SectionUsage<M> {
        self.usage.load(Ordering::Acquire)
    }

    fn set_word(&self, word: u64) {
        self.section_mem_map.store(word, Ordering::Release);
    }

    fn set_usage(&self, usage: *mut SectionUsage<M>) {
        self.usage.store(usage, Ordering::Release);
    }
}

/// A descriptor of 8 bytes: the usage pointer, shifted left by 8 bits, and the flags. For layouts
/// whose coded pointer is the same for every section, so that it need not be kept.
#[repr(transparent)]
pub struct PackedSection<M: SubsectionMap> {
    word: AtomicU64,
    map: PhantomData<fn() -> M>,
}

/// Bits below the usage pointer. Addresses of user space are below 2^56.
const POINTER_SHIFT: u32 = 8;
const _: () = assert!(SECTION_FLAGS < 1 << POINTER_SHIFT);

impl<M: SubsectionMap> Debug for PackedSection<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.word.load(Ordering::Relaxed))
    }
}

impl<M: SubsectionMap> Descriptor for PackedSection<M> {
    type Map = M;
    const KEEPS_POINTER: bool = false;

    #[inline(always)]
    fn word(&self) -> u64 {
        self.word.load(Ordering::Acquire) & SECTION_FLAGS
    }

    #[inline(always)]
    fn usage_acquire(&self) -> *const SectionUsage<M> {
        std::ptr::with_exposed_provenance((self.word.load(Ordering::Acquire) >> POINTER_SHIFT) as usize)
    }

    // Plain loads and stores: only the writer stores.
    fn set_word(&self, word: u64) {
        let usage = self.word.load(Ordering::Relaxed) & !SECTION_FLAGS;
        self.word.store(usage | word & SECTION_FLAGS, Ordering::Release);
    }

    fn set_usage(&self, usage: *mut SectionUsage<M>) {
        let address = usage.expose_provenance() as u64;
        assert!(address < 1 << (u64::BITS - POINTER_SHIFT), "an address of user space");
        let flags = self.word.load(Ordering::Relaxed) & SECTION_FLAGS;
        self.word.store(address << POINTER_SHIFT | flags, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::section::SECTION_TAINT_ZONE_DEVICE;
    use crate::subsection_map::BitWords;
    use std::cell::Cell;
    use std::ptr;

    #[test]
    fn a_packed_descriptor_keeps_flags_and_pointer_apart() {
        let usage = SectionUsage::<BitWords<1>>::default();
        let section = PackedSection::<BitWords<1>> { word: AtomicU64::new(0), map: PhantomData };
        assert!(section.word() == 0 && section.usage_ptr().is_null());
        section.set_usage(ptr::from_ref(&usage).cast_mut());
        section.set_word(!0);
        assert_eq!((section.word(), section.usage_ptr().cast_const()), (SECTION_FLAGS, ptr::from_ref(&usage)));
        section.set_word(0);
        assert_eq!((section.word(), section.usage_ptr().cast_const()), (0, ptr::from_ref(&usage)));
        section.set_word(SECTION_HAS_MEM_MAP);
        section.set_usage(ptr::null_mut());
        assert!(section.word() == SECTION_HAS_MEM_MAP && section.usage_ptr().is_null());
    }

    /// A map that records the word of its section when its bits are set.
    #[derive(Debug, Default)]
    struct Spy(BitWords<1>);

    thread_local! {
        static SPIED: Cell<*const MemSection<Spy>> = const { Cell::new(ptr::null()) };
        static SEEN: Cell<Option<u64>> = const { Cell::new(None) };
    }

    impl SubsectionMap for Spy {
        const BITS: u32 = 64;
        fn test(&self, bit: u32) -> bool {
            self.0.test(bit)
        }
        fn set(&self, bits: Range<u32>) {
            // SAFETY: the test keeps the section as long as it publishes.
            SEEN.set(Some(unsafe { &*SPIED.get() }.word()));
            self.0.set(bits);
        }
        fn clear(&self, bits: Range<u32>) {
            self.0.clear(bits);
        }
        fn find(&self, bits: Range<u32>, value: bool) -> Option<u32> {
            self.0.find(bits, value)
        }
        fn words(&self) -> Vec<u64> {
            self.0.words()
        }
    }

    /// D-3: a reader that sees a sub-section of a device in a live section must see the section's
    /// taint, so that it consults the device mappings.
    #[test]
    fn a_section_is_marked_before_its_new_bits_and_a_blank_one_announced_after_them() {
        let usage = SectionUsage::<Spy>::default();
        let section = MemSection { section_mem_map: AtomicU64::new(0), usage: AtomicPtr::default() };
        SPIED.set(&section);
        let new = ptr::from_ref(&usage).cast_mut();
        section.publish(new, 0..4, 0, 0x1000);
        assert_eq!(SEEN.take(), Some(0), "the word announced bits that were not set");
        let live = 0x1000 | SECTION_HAS_MEM_MAP;
        assert_eq!(section.word(), live);
        section.publish(ptr::null_mut(), 4..8, SECTION_TAINT_ZONE_DEVICE, 0x1000);
        assert_eq!(SEEN.take(), Some(live | SECTION_TAINT_ZONE_DEVICE), "bits were set before the mark");
        assert_eq!(usage.subsection_map.words(), [0xff]);
    }
}
