//! Quoting of paths and names for the shell commands that a refusal suggests.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path as one shell word that no command mistakes for an option.
///
/// Bytes that are not UTF-8 become U+FFFD, because the text is printed.
pub fn path_word(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    quote_bytes(&if bytes.starts_with(b"-") { [b"./", bytes].concat() } else { bytes.to_vec() })
}

/// A name as the last word of a command; after `--` if it starts with a hyphen.
pub fn last_word(name: &str) -> String {
    format!("{}{}", if name.starts_with('-') { "-- " } else { "" }, quote(name))
}

/// The text as one shell word.
pub fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

fn quote_bytes(bytes: &[u8]) -> String {
    // Neither a path nor an argument contains NUL, which has no quoted form.
    let quoter = shlex::bytes::Quoter::new().allow_nul(true);
    let quoted = quoter.quote(bytes).unwrap_or(bytes.into());
    String::from_utf8_lossy(&quoted).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::process::Command;

    #[test]
    fn a_shell_reads_the_quoted_path_as_one_word() {
        for path in ["/dev/shm/pmem0", "a b", "it's", "", "*", "$HOME/x", "größe", "a\nb", "`id`", "!x", "~"] {
            let output = Command::new("sh").args(["-c", &format!("printf %s {}", path_word(path.as_ref()))]).output();
            assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), path);
        }
        assert_eq!(
            (path_word("-m".as_ref()), last_word("-x"), last_word("a b")),
            ("./-m".into(), "-- -x".into(), "'a b'".into())
        );
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced() {
        assert_eq!(path_word(OsStr::from_bytes(b"a\xff b").as_ref()), "'a\u{fffd} b'");
    }
}
