//! Text files: written whole or not at all, and their lines.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Writes a file beside its place and moves it there, once it is on the disk: whole, or as it was. Its folder is made; the mode
/// of a file that was there stays, and so does a link to it.
///
/// # Errors
/// The place cannot be written.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    // A link leads to the file that is meant.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    // Temporary files are closed to others; new ones are to be read, and old ones stay as they were.
    let permissions = fs::metadata(&target).map(|of| of.permissions());
    let permissions = permissions.unwrap_or_else(|_| std::os::unix::fs::PermissionsExt::from_mode(0o644));
    fs::set_permissions(file.path(), permissions)?;
    file.persist(&target)?;
    Ok(())
}

/// The line of a byte of a text, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
        let (mode, link) = (fs::Permissions::from_mode(0o600), dir.path().join("link"));
        fs::set_permissions(&path, mode.clone()).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, b"3").unwrap();
        assert!(link.is_symlink() && fs::read(&path).unwrap() == b"3");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn lines_begin_after_their_breaks() {
        assert_eq!([0, 1, 2, 3, 99].map(|at| line_of("a\nb\n", at)), [1, 1, 2, 2, 3]);
    }
}
