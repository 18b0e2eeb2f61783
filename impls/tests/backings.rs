//! Every backing that this machine has: the conformance suite on each, what is given back, and what happens when there is no
//! more. What the machine lacks is skipped with the reason.
#![cfg(not(loom))]

use memmap_layouts::backing::{BackingError, Memory, RamBacking, Stretch};
use memmap_layouts::conformance::{Outcome, run_all_on};
use memmap_layouts::layouts::{Flat, Sparse, Subsection};
use memmap_layouts::{
    AddParams, BootMap, BootRange, Config, Hotplug, HotplugError, IndexPages, Inspect, Lookup, Memmap, PageRecord, Pfn,
    PfnRange, RecordStore, RemoveParams,
};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// Pages of a sub-section and of a section.
const U: u64 = 512;
const S: u64 = 32768;

/// The pool of huge pages is the machine's, so one test at a time empties it.
fn alone() -> MutexGuard<'static, ()> {
    static POOL: Mutex<()> = Mutex::new(());
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Memory of a backing, or the reason why this machine has none, said aloud.
fn memory(backing: &RamBacking, len: u64) -> Option<Memory> {
    let memory = Memory::reserve(len, backing).and_then(|memory| {
        let first = Stretch { offset: 0, len: memory.unit_bytes() };
        memory.populate(first)?;
        memory.give_back(first)?;
        Ok(memory)
    });
    memory.inspect_err(|error| eprintln!("skipped: {backing}: {error}")).ok()
}

/// All that are to be had without mounting anything.
fn all(folder: &TempDir) -> Vec<RamBacking> {
    let shm = || "/dev/shm".into();
    let all = [
        RamBacking::Anon,
        RamBacking::Linux,
        RamBacking::Thp,
        RamBacking::Hugetlb,
        RamBacking::Tmpfs(shm()),
        RamBacking::TmpfsHuge(shm()),
        RamBacking::File(folder.path().to_owned()),
    ];
    all.into_iter().filter(|backing| memory(backing, 4 * MIB).is_some()).collect()
}

fn word(memory: &Memory, offset: u64) -> &AtomicU64 {
    // SAFETY: tests ask for words inside the range, which are backed or may be looked at.
    unsafe { memory.base().add(offset as usize).cast().as_ref() }
}

fn range(start: u64, nr_pages: u64) -> PfnRange {
    PfnRange::from_len(start, nr_pages).unwrap()
}

fn layout<L: Memmap>(backing: &RamBacking) -> L {
    let store = RecordStore { backing: backing.clone(), ..RecordStore::unlimited() };
    L::boot(&BootMap::default(), &Config::default(), store).unwrap()
}

fn add(layout: &impl Hotplug, range: PfnRange) -> Result<(), HotplugError> {
    layout.add(range, &AddParams::default(), &mut ())
}

fn remove(layout: &impl Hotplug, range: PfnRange) {
    layout.remove(range, &RemoveParams::default(), &mut ()).unwrap();
}

fn all_readable(layout: &impl Memmap, range: PfnRange) {
    let reader = layout.reader();
    for pfn in (range.start()..range.end()).map(Pfn) {
        assert!(reader.valid_to_page(pfn).unwrap().is_of(pfn), "{pfn}");
    }
}

fn conforms(backing: &RamBacking) {
    let runs = run_all_on(backing);
    let failed: Vec<_> = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_))).collect();
    assert!(failed.is_empty(), "{backing}: {failed:#?}");
    let passed = runs.iter().filter(|run| run.outcome == Outcome::Passed).count();
    println!("{backing}: {passed} of {} cases passed, the others do not apply", runs.len());
}

#[test]
fn every_layout_conforms_on_every_backing() {
    let (_alone, folder) = (alone(), folder());
    // Private memory has this suite as a unit test.
    all(&folder).iter().filter(|backing| **backing != RamBacking::Anon).for_each(conforms);
}

#[test]
fn memory_given_back_reads_as_zero_and_files_have_no_name() {
    let (_alone, folder) = (alone(), folder());
    for backing in all(&folder) {
        let Some(memory) = memory(&backing, 1 << 40) else { continue };
        let unit = memory.unit_bytes();
        let stretch = Stretch { offset: (1 << 39) + unit, len: 3 * unit };
        for _ in 0..3 {
            memory.populate(stretch).unwrap();
            for offset in (stretch.offset..stretch.end()).step_by(512) {
                assert_eq!(word(&memory, offset).swap(7, Ordering::Relaxed), 0, "{backing} at {offset:#x}");
            }
            // The middle first: of a huge page this is a part.
            let middle = Stretch { offset: stretch.offset + unit, len: unit };
            memory.give_back(middle).unwrap();
            memory.populate(middle).unwrap();
            assert_eq!(word(&memory, middle.offset).load(Ordering::Relaxed), 0, "{backing}");
            assert_eq!(word(&memory, middle.end()).load(Ordering::Relaxed), 7, "{backing}: the neighbour stays");
            memory.give_back(stretch).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files have no name");
    }
}

/// Transparent huge pages come for a whole section, are split when a part goes, and are back when a whole section comes again.
#[test]
fn huge_pages_are_reported_as_they_are() {
    let (_alone, folder) = (alone(), folder());
    for backing in all(&folder) {
        let layout = layout::<Subsection>(&backing);
        let huge = || layout.bytes_in_huge_pages();
        add(&layout, range(8 * S, S)).unwrap();
        let whole = huge();
        match &backing {
            RamBacking::Anon | RamBacking::Tmpfs(_) | RamBacking::File(_) => assert_eq!(whole, None, "{backing}"),
            RamBacking::Hugetlb => assert_eq!(whole, Some(2 * MIB)),
            RamBacking::Linux | RamBacking::Thp | RamBacking::TmpfsHuge(_) if whole == Some(0) => {
                eprintln!("skipped: {backing}: the kernel found no free huge page");
            }
            RamBacking::Linux | RamBacking::Thp | RamBacking::TmpfsHuge(_) => {
                assert_eq!(whole, Some(2 * MIB), "{backing}");
                remove(&layout, range(8 * S + U, U));
                assert_eq!(huge(), Some(0), "{backing}: a part went, which splits it");
            }
        }
    }
}

#[test]
fn index_tables_lie_in_huge_pages_if_that_is_asked() {
    fn bytes<L: Memmap>(index_pages: IndexPages) -> Option<u64> {
        let config = Config { index_pages, ..Config::default() };
        let boot = BootMap::new([BootRange { range: range(0, 8 * S), node: 0 }]).unwrap();
        L::boot(&boot, &config, RecordStore::unlimited()).unwrap().index_bytes_in_huge_pages()
    }
    let base = [bytes::<Flat>, bytes::<Sparse>, bytes::<Subsection>].map(|bytes| bytes(IndexPages::Base));
    assert_eq!(base, [None; 3]);
    assert_eq!(bytes::<Flat>(IndexPages::Huge), None, "it has no tables");
    for bytes in [bytes::<Sparse>(IndexPages::Huge), bytes::<Subsection>(IndexPages::Huge)] {
        match bytes {
            Some(0) => eprintln!("skipped: no transparent huge page is to be had"),
            bytes => assert_eq!(bytes, Some(2 * MIB)),
        }
    }
}

/// The rest of a huge page that came for a sub-section goes with the last sub-section, or memory would stay that nobody counts.
#[test]
fn a_huge_page_goes_with_its_last_user() {
    let (_alone, folder) = (alone(), folder());
    for backing in all(&folder) {
        let layout = layout::<Subsection>(&backing);
        let huge = || layout.bytes_in_huge_pages().unwrap_or(0);
        for _ in 0..3 {
            add(&layout, range(8 * S, U)).unwrap();
            add(&layout, range(8 * S + 9 * U, U)).unwrap();
            remove(&layout, range(8 * S, U));
            remove(&layout, range(8 * S + 9 * U, U));
            assert_eq!(huge(), 0, "{backing}");
        }
        // Had anything been left of the one that was split, this would not be whole.
        add(&layout, range(8 * S, S)).unwrap();
        all_readable(&layout, range(8 * S, S));
        if layout.bytes_in_huge_pages() == Some(0) {
            eprintln!("skipped: {backing}: the kernel found no free huge page");
        }
    }
}

/// Layouts add until there is no more, and are then what they were before the addition that failed.
fn fills_up(backing: &RamBacking, is_right: impl Fn(&BackingError) -> bool) {
    let (by_part, by_section) = (layout::<Subsection>(backing), layout::<Sparse>(backing));
    for section in (8..1 << 12).step_by(2) {
        let digest = (by_part.digest(), by_section.digest());
        let parts = add(&by_part, range(section * S, U)).and_then(|()| add(&by_part, range(section * S + U, S)));
        let Err(error) = parts.and_then(|()| add(&by_section, range(section * S, S))) else { continue };
        let HotplugError::Vmem { source: memmap_layouts::VmemError::Backing(source), .. } = &error else {
            panic!("{backing}: {error}");
        };
        assert!(is_right(source), "{backing}: {error}");
        println!("{backing}: {error}");
        // Whoever was added whole before it failed is taken away again, so that both are as before.
        for (nr, at) in [(U, section * S), (S, section * S + U)] {
            if by_part.reader().pfn_valid(Pfn(at)) {
                remove(&by_part, range(at, nr));
            }
        }
        assert_eq!((by_part.digest(), by_section.digest()), digest, "{backing}");
        let last = section - 2;
        all_readable(&by_section, range(last * S, S));
        all_readable(&by_part, range(last * S, U));
        remove(&by_section, range(8 * S, S));
        add(&by_section, range(9000 * S, S)).unwrap();
        all_readable(&by_section, range(9000 * S, S));
        return;
    }
    panic!("{backing} never ends");
}

#[test]
fn an_exhausted_pool_of_huge_pages_is_an_error_and_no_signal() {
    let _alone = alone();
    let Some(memory) = memory(&RamBacking::Hugetlb, 1 << 40) else { return };
    // All but 24 MiB, or no layout could begin.
    let (mut taken, mut refused) = (0, None);
    while refused.is_none() {
        let next = Stretch { offset: taken, len: 2 * MIB };
        refused = memory.populate(next).err();
        taken += if refused.is_none() { next.len } else { 0 };
    }
    let error = refused.unwrap();
    assert!(matches!(error, BackingError::HugePages { free: 0, .. }), "{error}");
    assert!(error.to_string().contains("sysctl vm.nr_hugepages="), "{error}");
    let free = taken.min(24 * MIB);
    memory.give_back(Stretch { offset: taken - free, len: free }).unwrap();
    if free == 24 * MIB {
        fills_up(&RamBacking::Hugetlb, |error| matches!(error, BackingError::HugePages { .. }));
    }
}

/// Without a pool there is nothing to begin with, and the error says how to make one.
#[test]
fn a_missing_pool_is_refused_with_the_command() {
    let _alone = alone();
    let Ok(memory) = Memory::reserve(4 * MIB, &RamBacking::Hugetlb) else { return };
    match memory.populate(Stretch { offset: 0, len: 2 * MIB }) {
        Ok(()) => eprintln!("skipped: this machine has free huge pages"),
        Err(error) => assert!(error.to_string().contains("sysctl vm.nr_hugepages="), "{error}"),
    }
}

/// Runs in a mount namespace of its own, which goes with its thread, whatever happens in it.
fn with_mounts(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        // SAFETY: a mount namespace changes what paths mean for this thread alone; no file descriptors are unshared.
        let own = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
            .and_then(|()| mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE));
        match own {
            Ok(()) => body(),
            Err(error) => eprintln!("skipped: only root may mount a file system for a test ({error})"),
        }
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn mount_tmpfs(dir: &Path, options: &str) -> bool {
    let options = CString::new(options).unwrap();
    let mounted = mount("tmpfs", dir, "tmpfs", MountFlags::empty(), &*options);
    mounted.inspect_err(|error| eprintln!("skipped: a tmpfs with {options:?} cannot be mounted: {error}")).is_ok()
}

/// Makes a file system in a file and mounts it.
fn mount_image(mkfs: &str, folder: &TempDir, dir: &Path) -> bool {
    let image = folder.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(24 * MIB).unwrap();
    let ran = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let mounted = ran(Command::new(mkfs).arg("-q").arg(&image))
        && ran(Command::new("mount").args(["-o", "loop"]).args([&image, dir]));
    if !mounted {
        eprintln!("skipped: {mkfs} or mount -o loop does not work here");
    }
    mounted
}

#[test]
fn a_full_tmpfs_is_an_error_and_no_signal() {
    with_mounts(|| {
        let folder = folder();
        if mount_tmpfs(folder.path(), "size=9M,huge=never") {
            let full = |error: &BackingError| matches!(error, BackingError::Full { backing: "tmpfs", .. });
            fills_up(&RamBacking::Tmpfs(folder.path().to_owned()), full);
            let error = Memory::reserve(4 * MIB, &RamBacking::TmpfsHuge(folder.path().to_owned())).map(drop);
            match error {
                Err(error) => assert!(error.to_string().contains("huge=always"), "{error}"),
                Ok(()) => eprintln!("skipped: shmem_enabled forces huge pages on every tmpfs"),
            }
        }
    });
}

#[test]
fn a_tmpfs_of_huge_pages_conforms_and_fills_up() {
    for huge in ["always", "advise"] {
        with_mounts(move || {
            let folder = folder();
            if !mount_tmpfs(folder.path(), &format!("size=1G,huge={huge}")) {
                return;
            }
            let backing = RamBacking::TmpfsHuge(folder.path().to_owned());
            if memory(&backing, 4 * MIB).is_none() {
                return;
            }
            let layout = layout::<Subsection>(&backing);
            add(&layout, range(8 * S, 4 * S)).unwrap();
            println!("huge={huge}: {:?} of 8 MiB in huge pages", layout.bytes_in_huge_pages());
            remove(&layout, range(9 * S, U));
            add(&layout, range(9 * S, U)).unwrap();
            all_readable(&layout, range(8 * S, 4 * S));
            remove(&layout, range(8 * S, 4 * S));
            if huge == "always" {
                conforms(&backing);
            }
            drop(layout);
            let small = folder.path().join("small");
            std::fs::create_dir(&small).unwrap();
            if mount_tmpfs(&small, &format!("size=9M,huge={huge}")) {
                let full = |error: &BackingError| matches!(error, BackingError::Full { backing: "tmpfs-huge", .. });
                fills_up(&RamBacking::TmpfsHuge(small), full);
            }
        });
    }
}

#[test]
fn a_full_disk_is_an_error_and_no_signal() {
    with_mounts(|| {
        let (folder, dir) = (folder(), folder());
        if mount_image("mkfs.ext4", &folder, dir.path()) {
            let full = |error: &BackingError| matches!(error, BackingError::Full { backing: "file", .. });
            fills_up(&RamBacking::File(dir.path().to_owned()), full);
        }
    });
}

#[test]
fn a_file_system_without_holes_is_refused_with_the_reason() {
    with_mounts(|| {
        let (folder, dir) = (folder(), folder());
        if mount_image("mkfs.ext2", &folder, dir.path()) {
            let error = Memory::reserve(4 * MIB, &RamBacking::File(dir.path().to_owned())).unwrap_err().to_string();
            assert!(error.contains("name a folder on ext4"), "{error}");
            println!("{error}");
        }
    });
}
