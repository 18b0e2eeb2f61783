//! Atomic replacement of files, and excerpts of text files for error messages.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

/// Replaces a file atomically: writes a temporary file in the same folder, syncs it, and renames
/// it. Creates the folder if it does not exist. Keeps the mode of an existing file, and follows a
/// symbolic link. A new file has mode 0644.
///
/// # Errors
/// The folder cannot be created, or the file cannot be written.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    // Replaces the target of a symbolic link, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    // Only the owner can read a temporary file.
    let permissions = fs::metadata(&target).map(|metadata| metadata.permissions());
    let permissions = permissions.unwrap_or_else(|_| std::os::unix::fs::PermissionsExt::from_mode(0o644));
    fs::set_permissions(file.path(), permissions)?;
    file.persist(&target)?;
    Ok(())
}

/// The line number, from 1, of a byte offset.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

/// The line in which a span of byte offsets starts, with carets below the span, as the errors of
/// the `toml` crate show it. A span of several lines is marked up to the end of its first line.
///
/// ```
/// let text = "a = 1\nb = two\n";
/// assert_eq!(pfnbench::files::excerpt(text, 10..13), "  |\n2 | b = two\n  |     ^^^");
/// ```
pub fn excerpt(text: &str, span: Range<usize>) -> String {
    let (before, after) = text.split_at_checked(span.start).unwrap_or((text, ""));
    let number = line_of(text, span.start).to_string();
    let head = before.rsplit('\n').next().unwrap_or_default();
    let tail = after.lines().next().unwrap_or_default();
    let marked = tail.get(..span.len()).unwrap_or(tail).chars().count().max(1);
    let (margin, indent, carets) = (" ".repeat(number.len()), " ".repeat(head.chars().count()), "^".repeat(marked));
    format!("{margin} |\n{number} | {head}{tail}\n{margin} | {indent}{carets}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replace_keeps_the_mode_and_follows_links() {
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
    fn a_line_break_belongs_to_the_line_that_it_ends() {
        assert_eq!([0, 1, 2, 3, 99].map(|at| line_of("a\nb\n", at)), [1, 1, 2, 2, 3]);
    }

    #[test]
    fn an_excerpt_looks_like_that_of_the_toml_crate() {
        for text in ["a = 1\nb = two\n", "é = \"é\" x", "\n\n\n\n\n\n\n\n\n[[a\n"] {
            let error = toml::from_str::<toml::Table>(text).unwrap_err();
            let shown = error.to_string();
            assert!(shown.contains(&excerpt(text, error.span().unwrap())), "{shown}");
        }
        assert_eq!(excerpt("a = [\n1,\n]", 4..10), "  |\n1 | a = [\n  |     ^");
        assert_eq!(excerpt("", 0..0), "  |\n1 | \n  | ^");
    }
}
