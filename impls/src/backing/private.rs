//! Private anonymous memory, in base pages or in transparent huge pages.

use super::error::BackingError;
use super::huge;
use super::memory::Medium;
use super::part::Part;
use rustix::mm::Advice;

/// Private memory.
#[derive(Debug)]
pub(super) struct Private {
    advice: Advice,
    huge_page: Option<u64>,
}

impl Private {
    /// Base pages, whatever the machine's default for huge pages is: records are measured in them.
    pub(super) fn in_base_pages() -> Self {
        Self { advice: Advice::LinuxNoHugepage, huge_page: None }
    }

    /// Transparent huge pages, as far as the kernel finds some.
    ///
    /// # Errors
    /// The kernel has none, or they are switched off.
    pub(super) fn in_huge_pages() -> Result<Self, BackingError> {
        let page = huge::transparent_page("thp")?;
        Ok(Self { advice: Advice::LinuxHugepage, huge_page: Some(page) })
    }
}

impl Medium for Private {
    fn huge_page_bytes(&self) -> Option<u64> {
        self.huge_page
    }

    fn first_touch_bytes(&self) -> u64 {
        self.huge_page.unwrap_or(self.unit_bytes())
    }

    /// A look at it finds the zero page, or the huge one.
    fn has_zero_page(&self) -> bool {
        true
    }

    fn map(&self, part: Part) -> Result<(), BackingError> {
        part.map_private(self.advice)
    }

    fn populate(&self, part: Part) -> Result<(), BackingError> {
        part.populate()
    }

    /// What the kernel will not drop on advice goes with its mapping.
    fn give_back(&self, part: Part) -> Result<(), BackingError> {
        part.discard(Advice::LinuxDontNeed).or_else(|_| self.map(part))
    }
}
