//! Text files: written whole or not at all, and their lines.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Writes a file beside its place and moves it there, once it is on the disk: whole, or as it was. Its folder is made.
///
/// # Errors
/// The place cannot be written.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    // Temporary files are closed to others; these are to be read.
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

/// The line of a byte of a text, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/x");
        replace(&path, b"one").unwrap();
        replace(&path, b"2").unwrap();
        assert_eq!(
            (fs::read(&path).unwrap().as_slice(), fs::read_dir(dir.path().join("new")).unwrap().count()),
            (&b"2"[..], 1)
        );
        assert!(replace(Path::new("/proc/nowhere/x"), b"").is_err());
    }

    #[test]
    fn lines_begin_after_their_breaks() {
        assert_eq!([0, 1, 2, 3, 99].map(|at| line_of("a\nb\n", at)), [1, 1, 2, 2, 3]);
    }
}
