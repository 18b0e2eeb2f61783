//! Where runs are written to by default, and the newest of them.

use std::fs;
use std::path::{Path, PathBuf};

/// Name of the folder of runs.
pub const RESULTS: &str = "results";

/// The data folder of the user for pfnbench, by the XDG base directory specification.
pub fn user_data_folder() -> Option<PathBuf> {
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).and_then(absolute);
    let home = || std::env::home_dir().and_then(absolute).map(|home| home.join(".local/share"));
    Some(data.or_else(home)?.join("pfnbench"))
}

/// The folders that runs are written to by default: `results` here, or in the data folder of the user
/// if the current folder is not writable.
pub fn default_results() -> Vec<PathBuf> {
    let of_user = user_data_folder().map(|folder| folder.join(RESULTS));
    std::iter::once(PathBuf::from(RESULTS)).chain(of_user).collect()
}

/// The newest complete run in folders of runs (`FOLDER/MACHINE/RUN`), by its name, which begins with the time;
/// `None` if there is none. Of two that began in the same second, the one in the earlier folder.
pub fn newest(folders: &[PathBuf]) -> Option<PathBuf> {
    let entries = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<PathBuf>>()
    };
    let runs = folders.iter().flat_map(|folder| entries(folder)).flat_map(|machine| entries(&machine));
    let is_complete = |run: &PathBuf| run.join("SHA256SUMS").is_file() && run.extension().is_none();
    let mut newest: Option<PathBuf> = None;
    for run in runs.filter(is_complete) {
        if newest.as_ref().is_none_or(|newest| newest.file_name() < run.file_name()) {
            newest = Some(run);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_run_is_found() {
        let base = tempfile::tempdir().unwrap();
        let run = |machine: &str, name: &str, is_complete: bool| {
            let folder = base.path().join(machine).join(name);
            fs::create_dir_all(&folder).unwrap();
            if is_complete {
                fs::write(folder.join("SHA256SUMS"), "").unwrap();
            }
            folder
        };
        let folders = [base.path().to_owned(), base.path().join("missing")];
        assert_eq!(newest(&folders), None);
        run("a", "20260101T000000Z-1", true);
        let expected = run("b", "20260301T000000Z-3", true);
        run("a", "20260201T000000Z-2", true);
        run("a", "20260401T000000Z-4", false);
        run("a", "20260501T000000Z-5.partial", true);
        assert_eq!(newest(&folders), Some(expected));
    }
}
