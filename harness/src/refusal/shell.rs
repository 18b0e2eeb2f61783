//! Words of a command line.

use std::path::Path;

/// A path as one types it: in quotes if a shell would take it apart.
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-+:@%,".contains(char);
    match !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('-') {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_meant() {
        for path in ["/dev/shm/pmem0", "a b", "it's", "", "*", "$HOME/x", "größe"] {
            let output =
                std::process::Command::new("sh").args(["-c", &format!("printf %s {}", word(path.as_ref()))]).output();
            assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), path);
        }
    }
}
