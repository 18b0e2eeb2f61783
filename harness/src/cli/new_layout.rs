//! The command `pfnbench new-layout`.

use super::{Answer, Json, print, print_json};
use crate::case::layouts;
use anyhow::{Context, bail};
use clap::Args;
use memmap_layouts::X86_64;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The files of the crate, with placeholders such as `{{name}}`.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../../templates/new-layout/Cargo.toml.in")),
    ("README.md", include_str!("../../templates/new-layout/README.md.in")),
    ("src/lib.rs", include_str!("../../templates/new-layout/src/lib.rs.in")),
    ("src/main.rs", include_str!("../../templates/new-layout/src/main.rs.in")),
    ("tests/layout.rs", include_str!("../../templates/new-layout/tests/layout.rs.in")),
];

/// The sources that this program was built from. While they exist, a new crate depends on them by
/// path.
const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

const EXAMPLES: &str = "\
Examples:
  pfnbench new-layout my-array --crate ~/my-array
  cd ~/my-array && cargo test && cargo run --release -- verify
  cargo run --release -- run --layout my-array --layout subsection

Exit codes: 0 success; 2 the name or the folder cannot be used, or a usage
error.
All codes: pfnbench explain exit-codes";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewLayoutArgs {
    /// Id of the layout and name of the crate: lower-case letters, digits and hyphens
    name: String,
    /// Folder for the crate, which must be empty or not exist yet
    #[arg(long = "crate", value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    json: Json,
}

/// Names that Cargo rejects or warns about: keywords of Rust, and crates of its standard library.
const TAKEN: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type typeof unsafe unsized use virtual where while yield alloc core proc-macro std test";

/// Why a name cannot be used for a layout and a crate; `None` if it can.
fn wrong_name(name: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins || !name.bytes().all(is_plain) || name.ends_with('-') || name.contains("--") || name.len() > 40 {
        return Some(format!(
            "the name {name:?} is invalid: it must have 1 to 40 lower-case letters, digits and single hyphens, and begin \
             with a letter; try my-layout"
        ));
    }
    let taken = layouts::<X86_64>().iter().any(|layout| layout.id == name)
        || TAKEN.split(' ').any(|taken| taken == name)
        || ["control", "pfnbench", "memmap-layouts"].contains(&name);
    taken.then(|| format!("the name {name:?} is taken by a layout, a crate or Rust itself; try my-{name}"))
}

/// The type name for a layout: `MyArray` for `my-array`.
fn type_name(name: &str) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    name.split('-').map(capital).collect()
}

/// The value of a dependency on a crate of this project, for `Cargo.toml`.
fn dependency(folder: &str) -> String {
    let path = Path::new(SOURCES).join(folder);
    match path.canonicalize() {
        Ok(path) if path.join("Cargo.toml").exists() => {
            // A JSON string is also a TOML string.
            format!("{{ path = {} }}", json!(path.to_string_lossy()))
        }
        _ => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
    }
}

impl NewLayoutArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        if let Some(wrong) = wrong_name(&self.name) {
            bail!(wrong);
        }
        let folder = &self.folder;
        let is_free = match fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
        };
        if !is_free {
            bail!("{} is not empty; give an empty folder, or one that does not exist", folder.display());
        }
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let written = || -> std::io::Result<()> {
            fs::create_dir_all(parent)?;
            // Written under a temporary name and then renamed, so that the crate appears as a
            // whole.
            let made = tempfile::Builder::new().prefix(".new-layout-").tempdir_in(parent)?;
            for (name, text) in FILES {
                let path = made.path().join(name);
                fs::create_dir_all(path.parent().expect("every file is in the folder"))?;
                fs::write(path, self.filled(text))?;
            }
            fs::rename(made.path(), folder)?;
            // The folder was renamed, so there is nothing to delete.
            let _ = made.keep();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        };
        written().with_context(|| format!("cannot create {}", folder.display()))?;
        if self.json.json {
            let files: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
            print_json(&json!({ "name": self.name, "folder": folder, "files": files }))?;
        } else {
            print(format!(
                "{}\nNext: cd {} && cargo test && cargo run --release -- verify",
                folder.display(),
                folder.display()
            ))?;
        }
        Ok(Answer::Yes)
    }

    fn filled(&self, text: &str) -> String {
        text.replace("{{name}}", &self.name)
            .replace("{{Type}}", &type_name(&self.name))
            .replace("{{crate}}", &self.name.replace('-', "_"))
            .replace("{{memmap-layouts}}", &dependency("../impls"))
            .replace("{{pfnbench}}", &dependency("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_be_valid_for_a_crate_and_unused() {
        assert_eq!(wrong_name("my-array-2"), None);
        assert_eq!(type_name("my-array-2"), "MyArray2");
        for (name, says) in [
            ("", "must have"),
            ("2fast", "must have"),
            ("My", "must have"),
            ("a_b", "must have"),
            ("a--b", "must have"),
            ("a-", "must have"),
            ("../x", "must have"),
            ("subsection", "taken"),
            ("control", "taken"),
            ("loop", "taken"),
            ("while", "taken"),
            ("core", "taken"),
        ] {
            assert!(wrong_name(name).is_some_and(|wrong| wrong.contains(says)), "{name}");
        }
    }

    #[test]
    fn every_placeholder_is_filled() {
        let args = NewLayoutArgs { name: "my-array".into(), folder: "x".into(), json: Json { json: false } };
        for (name, text) in FILES {
            assert!(!args.filled(text).contains("{{"), "{name}");
        }
    }
}
