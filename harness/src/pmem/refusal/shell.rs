//! Quoting of words for a shell command line.

use std::path::Path;

/// A path as a shell word: quoted if a shell would split it, and never mistaken for an option.
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    quoted(&if text.starts_with('-') { format!("./{text}") } else { text })
}

/// A name as the last word of a command.
pub fn last_word(name: &str) -> String {
    format!("{}{}", if name.starts_with('-') { "-- " } else { "" }, quoted(name))
}

/// The text, quoted if a shell would split it.
pub fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-+:@%,".contains(char);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
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
        assert_eq!(
            (word("-m".as_ref()), last_word("-x"), last_word("a b")),
            ("./-m".into(), "-- -x".into(), "'a b'".into())
        );
    }
}
