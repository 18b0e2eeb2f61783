//! Private anonymous memory, in base pages or in transparent huge pages.

use super::address_range::AddressRange;
use super::backing_store::BackingStore;
use super::error::BackingError;
use super::huge;
use rustix::mm::Advice;

/// Private anonymous memory as a backing store.
#[derive(Debug)]
pub(super) struct Private {
    advice: Advice,
    huge_page: Option<u64>,
}

impl Private {
    /// Base pages, whatever the system's default for huge pages: the benchmark measures records in
    /// base pages.
    pub(super) fn in_base_pages() -> Self {
        Self { advice: Advice::LinuxNoHugepage, huge_page: None }
    }

    /// Transparent huge pages where the kernel finds them.
    ///
    /// # Errors
    /// The kernel has no transparent huge pages, or they are disabled.
    pub(super) fn in_huge_pages() -> Result<Self, BackingError> {
        let page = huge::transparent_page("thp")?;
        Ok(Self { advice: Advice::LinuxHugepage, huge_page: Some(page) })
    }
}

impl BackingStore for Private {
    fn huge_page_bytes(&self) -> Option<u64> {
        self.huge_page
    }

    fn first_touch_bytes(&self) -> u64 {
        self.huge_page.unwrap_or(self.unit_bytes())
    }

    /// A read maps the zero page, or the huge zero page.
    fn has_zero_page(&self) -> bool {
        true
    }

    fn map(&self, range: AddressRange) -> Result<(), BackingError> {
        range.map_private(self.advice)
    }

    fn populate(&self, range: AddressRange) -> Result<(), BackingError> {
        range.populate()
    }

    /// If the kernel refuses the advice, replaces the mapping.
    fn give_back(&self, range: AddressRange) -> Result<(), BackingError> {
        range.discard(Advice::LinuxDontNeed).or_else(|_| self.map(range))
    }
}
