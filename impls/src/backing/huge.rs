//! Huge page settings and counts, as sysfs and procfs report them.

use super::error::BackingError;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

/// Folder of the settings of transparent huge pages.
pub(super) const TRANSPARENT: &str = "/sys/kernel/mm/transparent_hugepage";

/// The bracketed word of a file such as `always [madvise] never`. `None` if the file cannot be
/// read.
pub(super) fn chosen(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// Size in bytes of the transparent huge pages that `MADV_HUGEPAGE` gives to private memory.
///
/// # Errors
/// The kernel has no transparent huge pages, or they are disabled.
pub(super) fn transparent_page(backing: &'static str) -> Result<u64, BackingError> {
    let unavailable = |reason| Err(BackingError::Unavailable { backing, reason });
    let off = |file: &str, word| unavailable(format!("{file} is set to never; run echo {word} > {file}"));
    let enabled = format!("{TRANSPARENT}/enabled");
    match chosen(&enabled).as_deref() {
        None => return unavailable("this kernel has no transparent huge pages".to_owned()),
        Some("never") => return off(&enabled, "madvise"),
        Some(_) => {}
    }
    let page = page_bytes();
    // Since 6.8 each size has a setting of its own.
    let of_size = format!("{TRANSPARENT}/hugepages-{}kB/enabled", page >> 10);
    match chosen(&of_size).as_deref() {
        Some("never") => off(&of_size, "inherit"),
        _ => Ok(page),
    }
}

/// Size in bytes of a transparent huge page: what one PMD entry maps. 2 MiB if sysfs does not say.
pub(super) fn page_bytes() -> u64 {
    let size = fs::read_to_string(format!("{TRANSPARENT}/hpage_pmd_size")).ok();
    size.and_then(|size| size.trim().parse().ok()).unwrap_or(2 << 20)
}

/// Why files on the tmpfs of a folder cannot use huge pages, with a command that helps; `None` if
/// they can.
pub fn tmpfs_refuses_huge_pages(dir: &Path) -> Option<String> {
    let remedy = "run mount -t tmpfs -o huge=always,size=2G tmpfs DIR, and use --backing tmpfs-huge:DIR";
    let switch = format!("{TRANSPARENT}/shmem_enabled");
    match chosen(&switch).as_deref() {
        None => return Some("this kernel has no transparent huge pages".to_owned()),
        Some("deny") => {
            return Some(format!(
                "{switch} is set to deny; run echo never > {switch}, which leaves the choice to the mount"
            ));
        }
        Some("force") => return None,
        Some(_) => {}
    }
    match mount_option(dir, "huge=") {
        Ok(Some(huge)) if huge != "never" => None,
        Ok(_) => Some(format!("the tmpfs of {} is mounted without huge pages; {remedy}", dir.display())),
        Err(error) => Some(format!("the mount of {} cannot be found: {error}; {remedy}", dir.display())),
    }
}

/// The value of a mount option of the file system that holds a folder.
fn mount_option(dir: &Path, option: &str) -> io::Result<Option<String>> {
    let device = rustix::fs::stat(dir)?.st_dev;
    let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let of_device = |line: &&str| line.split(' ').nth(2) == Some(&number);
    let line = mounts.lines().find(of_device).ok_or(io::ErrorKind::NotFound)?;
    let options = line.rsplit(' ').next().unwrap_or_default();
    Ok(options.split(',').find_map(|word| word.strip_prefix(option)).map(str::to_owned))
}

/// Bytes in huge pages within a range of addresses. `None` if the kernel does not report it.
///
/// A mapping that is partly outside the range counts as a whole.
pub(super) fn bytes_in_huge_pages(addresses: Range<usize>) -> Option<u64> {
    Some(sum_of_smaps(&fs::read_to_string("/proc/self/smaps").ok()?, addresses))
}

/// Fields of `/proc/PID/smaps` that count mapped transparent huge pages and hugetlb pages.
const FIELDS: [&str; 5] = ["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb"];

fn sum_of_smaps(smaps: &str, addresses: Range<usize>) -> u64 {
    let (mut inside, mut kib) = (false, 0);
    for line in smaps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((from, to)) = first.split_once('-') {
            let number = |hex| usize::from_str_radix(hex, 16);
            inside = match (number(from), number(to)) {
                (Ok(from), Ok(to)) => from < addresses.end && addresses.start < to,
                _ => false,
            };
        } else if inside && first.strip_suffix(':').is_some_and(|field| FIELDS.contains(&field)) {
            kib += line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    kib << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_inside_the_range_are_summed() {
        let smaps = "7f0000000000-7f0000400000 rw-s 00000000 00:01 7 /memfd:records (deleted)\n\
                     Rss:                   8 kB\nShmemPmdMapped:     2048 kB\nShared_Hugetlb:     4096 kB\n\
                     VmFlags: rd wr sh\n\
                     7f0000400000-7f0000600000 rw-p 00000000 00:00 0 \nAnonHugePages:      2048 kB\n";
        let sum = |from, to| sum_of_smaps(smaps, from..to);
        assert_eq!(sum(0x7f0000000000, 0x7f0000400000), 6 << 20);
        assert_eq!(sum(0x7f0000200000, 0x7f0000400001), 8 << 20);
        assert_eq!(sum(0x7f0000600000, usize::MAX), 0);
    }

    #[test]
    fn a_tmpfs_without_huge_pages_is_explained_with_a_command() {
        for dir in ["/dev/shm", "/does/not/exist"] {
            match tmpfs_refuses_huge_pages(Path::new(dir)) {
                Some(why) => assert!(why.contains("mount -t tmpfs") || why.contains("kernel") || why.contains("echo")),
                None => eprintln!("skipped: the tmpfs at {dir} has huge pages"),
            }
        }
    }
}
