//! The public API of the crate is the one listed in `public-api.txt`: one item a line, kind and path, and in brackets
//! the feature or the architecture that it needs. Implementations of traits are not listed.
//!
//! The list comes from the sources, so that neither a nightly toolchain nor the network is needed.

mod cfg;
mod list;
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn public_items_are_those_of_the_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("public-api.txt");
    let found = list::public_items(&sources::Crate::load(&root.join("src/lib.rs")));
    let text: String = found.iter().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("PUBLIC_API").is_some_and(|what| what == "write") {
        fs::write(&file, &text).unwrap();
    }
    let listed = fs::read_to_string(&file).unwrap_or_default();
    let listed: BTreeSet<String> = listed.lines().map(String::from).collect();
    let gone = listed.difference(&found).map(|line| format!("- {line}\n"));
    let new = found.difference(&listed).map(|line| format!("+ {line}\n"));
    let difference: String = gone.chain(new).collect();
    assert!(
        difference.is_empty(),
        "the public API differs from impls/public-api.txt (- listed only, + in the sources only):\n{difference}\
         If that is intended, renew the list: PUBLIC_API=write cargo test -p memmap-layouts --test public_api"
    );
}
