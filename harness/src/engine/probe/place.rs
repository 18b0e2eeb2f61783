//! The place of an addition: its range, and where in a section the range begins and ends.

use crate::case::Position;
use memmap_layouts::{ByteSize, Geometry, Hotplug, PfnRange, record_bytes};
use thiserror::Error;

/// A range for additions, at the requested position in its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The range to add.
    pub range: PfnRange,
    /// A range that must be added first, for instance the neighbour in the same section.
    pub beside: Option<PfnRange>,
    /// Bytes of one record of the layout.
    pub bytes_a_record: u64,
}

impl Place {
    /// Bytes of the records of `range` and `beside`.
    pub fn record_bytes(&self) -> u64 {
        (self.range.nr_pages() + self.beside.map_or(0, |beside| beside.nr_pages())) * self.bytes_a_record
    }

    /// Number of sections that the place touches, in whole or in part.
    pub fn nr_sections<G: Geometry>(&self) -> u64 {
        let start = self.beside.map_or(self.range.start(), |beside| beside.start());
        self.range.end().div_ceil(G::PAGES_PER_SECTION) - start / G::PAGES_PER_SECTION
    }
}

/// Why a layout has no place for an addition of a size and position.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoPlace {
    /// The layout has no hotplug.
    #[error("the layout does not support hotplug")]
    NoHotplug,
    /// The range is not aligned to the granule of the layout.
    #[error("the layout adds memory in multiples of {}", ByteSize(*granule_bytes))]
    Granule {
        /// The granule in bytes.
        granule_bytes: u64,
    },
    /// The layout only adds whole sections.
    #[error("the layout adds whole sections of {}, so no addition can begin inside a section", ByteSize(*section_bytes))]
    WholeSections {
        /// Size of a section in bytes.
        section_bytes: u64,
    },
    /// The position is not defined for this size.
    #[error("an addition of {} cannot have the position {}", ByteSize(*size_bytes), position.name())]
    NotOfPosition {
        /// The requested size in bytes.
        size_bytes: u64,
        /// The requested position.
        position: Position,
    },
    /// The window is too small.
    #[error("the physical address space has no room for {} above the map", ByteSize(*size_bytes))]
    NoRoom {
        /// The requested size in bytes.
        size_bytes: u64,
    },
}

/// The first place in a window for an addition of this size and position.
///
/// # Errors
/// [`NoPlace`] says why the window has no such place.
pub fn place<L: Hotplug>(window: PfnRange, size_bytes: u64, position: Position) -> Result<Place, NoPlace> {
    let (section, shift) = (L::Geometry::PAGES_PER_SECTION, L::Geometry::PAGE_SHIFT);
    let granule = L::CAPS.hotplug_granule_pages.ok_or(NoPlace::NoHotplug)?;
    if !position.has::<L::Geometry>(size_bytes) {
        return Err(NoPlace::NotOfPosition { size_bytes, position });
    }
    let offset = match position {
        Position::First => 0,
        Position::Later => L::Geometry::PAGES_PER_SUBSECTION,
        Position::Unaligned => section / 2,
    };
    if !offset.is_multiple_of(granule) {
        return Err(NoPlace::WholeSections { section_bytes: section << shift });
    }
    let nr_pages = size_bytes >> shift;
    if nr_pages << shift != size_bytes || !nr_pages.is_multiple_of(granule) {
        return Err(NoPlace::Granule { granule_bytes: granule << shift });
    }
    let no_room = NoPlace::NoRoom { size_bytes };
    let start = window.start().checked_next_multiple_of(section).ok_or(no_room)?;
    let range = start.checked_add(offset).and_then(|from| PfnRange::from_len(from, nr_pages)).ok_or(no_room)?;
    let beside = if position == Position::Later { PfnRange::from_len(start, offset) } else { None };
    if range.end() > window.end() {
        Err(no_room)
    } else {
        Ok(Place { range, beside, bytes_a_record: record_bytes::<L::Record>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::layouts::{Sparse, Subsection};
    use memmap_layouts::{AddParams, BootMap, Config, Inspect, Lookup, Memmap, Pfn, RecordStore, X86_64};

    const SECTION: u64 = X86_64::PAGES_PER_SECTION;
    const MIB: u64 = 1 << 20;

    fn window(nr_sections: u64) -> PfnRange {
        PfnRange::from_len(0x100000, nr_sections * SECTION).unwrap()
    }

    #[test]
    fn additions_begin_where_their_position_says() {
        let place_at = |size, position| place::<Subsection>(window(3), size, position).unwrap();
        let first = place_at(2 * MIB, Position::First);
        assert_eq!((first.range.start(), first.range.nr_pages(), first.beside), (0x100000, 512, None));
        let later = place_at(16 * MIB, Position::Later);
        assert_eq!((later.range.start(), later.beside), (0x100000 + 512, PfnRange::from_len(0x100000, 512)));
        let unaligned = place_at(128 * MIB, Position::Unaligned);
        assert!(!unaligned.range.start().is_multiple_of(SECTION) && !unaligned.range.end().is_multiple_of(SECTION));
        assert_eq!(unaligned.range.split_at_multiples(SECTION).count(), 2);
        // The next section is used, wherever the window begins.
        let rest = PfnRange::new(0x100001, window(3).end()).unwrap();
        assert_eq!(place::<Subsection>(rest, 2 * MIB, Position::First).unwrap().range.start(), 0x100000 + SECTION);
    }

    #[test]
    fn records_of_the_neighbour_are_counted_too() {
        let place_at = |size, position| {
            let place = place::<Subsection>(window(3), size, position).unwrap();
            (place.record_bytes() >> 10, place.nr_sections::<X86_64>())
        };
        assert_eq!(place_at(2 * MIB, Position::First), (32, 1));
        assert_eq!(place_at(2 * MIB, Position::Later), (64, 1));
        assert_eq!(place_at(128 * MIB, Position::Unaligned), (2048, 2));
    }

    /// Checks through the layout: which pages are valid before and after, and which bits of the
    /// sub-section maps are set.
    #[test]
    fn the_layout_sees_additions_where_their_position_says() {
        for (position, size, bits) in [
            (Position::First, 2 * MIB, [0b1, 0]),
            (Position::Later, 2 * MIB, [0b11, 0]),
            (Position::Unaligned, 128 * MIB, [u64::MAX << 32, u64::MAX >> 32]),
        ] {
            let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
            let place = place::<Subsection>(window(3), size, position).unwrap();
            if let Some(beside) = place.beside {
                layout.add(beside, &AddParams::default(), &mut ()).unwrap();
            }
            let valid = |pfn| layout.reader().pfn_valid(Pfn(pfn));
            let begins_alone = position != Position::Later;
            assert!(!valid(place.range.start()) && valid(place.range.start() - 1) != begins_alone);
            layout.add(place.range, &AddParams::default(), &mut ()).unwrap();
            assert!(valid(place.range.start()) && valid(place.range.end() - 1) && !valid(place.range.end()));
            let first = X86_64::section_nr(0x100000);
            let map = |nr| layout.section_state(nr).map_or(0, |state| state.subsection_map[0]);
            assert_eq!([map(first), map(first + 1)], bits, "{position:?}");
        }
    }

    #[test]
    fn an_impossible_place_is_an_error_with_the_reason() {
        let sparse = |size, position| place::<Sparse>(window(3), size, position).unwrap_err().to_string();
        assert_eq!(sparse(2 * MIB, Position::First), "the layout adds memory in multiples of 128 MiB");
        assert!(sparse(2 * MIB, Position::Later).contains("whole sections of 128 MiB"));
        assert!(sparse(128 * MIB, Position::Unaligned).contains("whole sections of 128 MiB"));
        assert!(sparse(512 * MIB, Position::First).contains("no room for 512 MiB"));
        let subsection = |size, position| place::<Subsection>(window(3), size, position).unwrap_err();
        assert!(matches!(subsection(128 * MIB, Position::Later), NoPlace::NotOfPosition { .. }));
        assert!(matches!(subsection(2 * MIB, Position::Unaligned), NoPlace::NotOfPosition { .. }));
        assert!(matches!(subsection(384 * MIB, Position::Unaligned), NoPlace::NoRoom { .. }));
        assert!(matches!(subsection(0, Position::First), NoPlace::NotOfPosition { .. }));
        assert!(matches!(subsection(u64::MAX, Position::First), NoPlace::Granule { .. }));
    }
}
