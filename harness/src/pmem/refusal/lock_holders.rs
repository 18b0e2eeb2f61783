//! The processes that have locked a file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Ids and names of the processes that hold a lock on a file, from `/proc/locks`; `None` if that
/// cannot be read or lists none.
pub(super) fn describe(path: &Path) -> Option<String> {
    let inode = fs::metadata(path).ok()?.ino();
    let holders = holders(&fs::read_to_string("/proc/locks").ok()?, inode);
    let named: Vec<_> = holders.into_iter().map(named).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// Process ids that hold a lock on an inode, sorted. A line of `/proc/locks` is
/// `1: FLOCK ADVISORY WRITE 708 08:01:1234 0 EOF`; lines of waiting processes have an arrow.
fn holders(locks: &str, inode: u64) -> Vec<u32> {
    let holder = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = fields[..] else { return None };
        let is_file = place.rsplit(':').next()?.parse() == Ok(inode);
        pid.parse().ok().filter(|_| is_file)
    };
    let mut holders: Vec<_> = locks.lines().filter_map(holder).collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}

fn named(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_those_of_the_inode() {
        let locks = "1: FLOCK  ADVISORY  WRITE 708 08:01:1234 0 EOF\n1: -> FLOCK ADVISORY WRITE 9 08:01:1234 0 EOF\n\
                     2: POSIX  ADVISORY  READ 11 08:01:1234 0 EOF\n3: FLOCK  ADVISORY  READ 12 08:01:99 0 EOF\n\n\
                     nonsense";
        assert_eq!(holders(locks, 1234), [708]);
        assert_eq!(holders(locks, 99), [12]);
        assert!(holders(locks, 7).is_empty());
    }

    #[test]
    fn the_holder_of_a_lock_is_this_process() {
        let file = tempfile::NamedTempFile::new().unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        match describe(file.path()) {
            Some(said) => assert!(said.contains(&format!("process {}", std::process::id())), "{said}"),
            None => eprintln!("skipped: /proc/locks lists no locks here"),
        }
    }
}
