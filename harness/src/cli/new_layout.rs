//! `pfnbench new-layout`.

use super::{Answer, Json, print, print_json};
use crate::case::layouts;
use anyhow::{Context, bail};
use clap::Args;
use memmap_layouts::X86_64;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The files of the crate, with the places where its name goes.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../../templates/new-layout/Cargo.toml.in")),
    ("README.md", include_str!("../../templates/new-layout/README.md.in")),
    ("src/lib.rs", include_str!("../../templates/new-layout/src/lib.rs.in")),
    ("src/main.rs", include_str!("../../templates/new-layout/src/main.rs.in")),
    ("tests/layout.rs", include_str!("../../templates/new-layout/tests/layout.rs.in")),
];

/// The sources that this program was built from, while they are there: a new crate depends on them by path.
const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

const EXAMPLES: &str = "\
Examples:
  pfnbench new-layout my-array --crate ~/my-array
  cd ~/my-array && cargo test && cargo run --release -- verify";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewLayoutArgs {
    /// Id of the layout, and name of the crate: lower case, digits and hyphens.
    name: String,
    /// Folder of the crate: an empty one, or one that does not exist yet.
    #[arg(long = "crate", value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    json: Json,
}

/// What Cargo refuses as the name of a package, or warns of: keywords of Rust and crates of its library.
const TAKEN: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type typeof unsafe unsized use virtual where while yield alloc core proc-macro std test";

/// Why a name cannot be that of a layout and of a crate; `None` if it can.
fn wrong_name(name: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins || !name.bytes().all(is_plain) || name.ends_with('-') || name.contains("--") || name.len() > 40 {
        return Some(format!(
            "the name {name:?} must be lower-case letters, digits and single hyphens, begin with a letter, and have at \
             most 40 characters; try my-layout"
        ));
    }
    let taken = layouts::<X86_64>().iter().any(|layout| layout.id == name)
        || TAKEN.split(' ').any(|taken| taken == name)
        || ["control", "pfnbench", "memmap-layouts"].contains(&name);
    taken.then(|| format!("the name {name:?} is taken by a layout, a crate or Rust itself; try my-{name}"))
}

/// `my-array` as a type: `MyArray`.
fn type_name(name: &str) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    name.split('-').map(capital).collect()
}

/// A dependency on a crate of this project, as a manifest has it.
fn dependency(folder: &str) -> String {
    let path = Path::new(SOURCES).join(folder);
    match path.canonicalize() {
        Ok(path) if path.join("Cargo.toml").exists() => {
            // A string of JSON is one of TOML too.
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
            bail!("{} is not empty; give a folder that is, or that does not exist", folder.display());
        }
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let written = || -> std::io::Result<()> {
            fs::create_dir_all(parent)?;
            // Beside it and then in its place, so that half a crate is never there.
            let made = tempfile::Builder::new().prefix(".new-layout-").tempdir_in(parent)?;
            for (name, text) in FILES {
                let path = made.path().join(name);
                fs::create_dir_all(path.parent().expect("it lies in the folder"))?;
                fs::write(path, self.filled(text))?;
            }
            fs::rename(made.path(), folder)?;
            // It has another name now.
            let _ = made.keep();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        };
        written().with_context(|| format!("cannot make {}", folder.display()))?;
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
    fn names_are_those_of_crates_and_layouts() {
        assert_eq!(wrong_name("my-array-2"), None);
        assert_eq!(type_name("my-array-2"), "MyArray2");
        for (name, says) in [
            ("", "must be"),
            ("2fast", "must be"),
            ("My", "must be"),
            ("a_b", "must be"),
            ("a--b", "must be"),
            ("a-", "must be"),
            ("../x", "must be"),
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
    fn every_place_in_the_files_is_filled() {
        let args = NewLayoutArgs { name: "my-array".into(), folder: "x".into(), json: Json { json: false } };
        for (name, text) in FILES {
            assert!(!args.filled(text).contains("{{"), "{name}");
        }
    }
}
