//! The two builds of a duel: existing programs, or commits of the checkout that are built on
//! demand.
//!
//! A commit is built in its own work tree below `target/duel` of the checkout. The program is kept
//! there, so that the next duel with it starts at once. The caller's work tree is not touched.

use crate::interrupt::Interrupt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use thiserror::Error;

/// A build that takes part in a duel.
#[derive(Clone, Debug)]
pub struct Build {
    /// Path of the program.
    pub program: PathBuf,
    /// The name that the user gave; for a commit with its short hash.
    pub name: String,
}

/// Why a build is not available.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The name is neither a file nor a commit.
    #[error(
        "{name:?} is neither a program nor a commit of this checkout ({reason}); name a file such as target/release/pfnbench, or a commit such as HEAD~1"
    )]
    Neither {
        /// The name that was given.
        name: String,
        /// The error message of git.
        reason: String,
    },
    /// The path is a folder, or not executable.
    #[error("{} is not an executable file; name a program such as target/release/pfnbench", .0.display())]
    NotExecutable(PathBuf),
    /// Git or cargo failed.
    #[error("{what} failed: {said}")]
    Failed {
        /// The command that failed.
        what: String,
        /// The last line of its output.
        said: String,
    },
    /// A command could not be started.
    #[error("{what}: {source}")]
    Io {
        /// The command that was started.
        what: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error("stopped")]
    Interrupted(#[from] crate::interrupt::Interrupted),
}

/// Runs a command to its end and returns its standard output.
fn run(command: &mut Command, what: &str, interrupt: &Interrupt) -> Result<String, SourceError> {
    let failed = |source| SourceError::Io { what: what.to_owned(), source };
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn io::Read + Send>>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            // Unreadable output only shortens an error message.
            let _ = pipe.map(|mut pipe| io::Read::read_to_end(&mut pipe, &mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let output = read(output.map(|pipe| Box::new(pipe) as _));
    let errors = read(errors.map(|pipe| Box::new(pipe) as _));
    let status = loop {
        if let Err(interrupted) = interrupt.check() {
            // Killing a process that has already ended is no error.
            let _ = child.kill();
            let _ = child.wait();
            return Err(interrupted.into());
        }
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(50)),
        }
    };
    let (output, errors) = (output.join().unwrap_or_default(), errors.join().unwrap_or_default());
    match status.success() {
        true => Ok(output.trim().to_owned()),
        false => {
            let said = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no error message");
            Err(SourceError::Failed { what: what.to_owned(), said: said.trim().to_owned() })
        }
    }
}

fn git(args: &[&str], interrupt: &Interrupt) -> Result<String, SourceError> {
    run(Command::new("git").args(args), &format!("git {}", args.join(" ")), interrupt)
}

/// The build called `name`: a program if such a file exists, else a commit, which is built unless
/// it was built before.
///
/// # Errors
/// [`SourceError`]; the name is unknown, or building failed.
pub fn build(name: &str, interrupt: &Interrupt, tell: impl FnOnce(&str)) -> Result<Build, SourceError> {
    let path = Path::new(name);
    if path.exists() {
        let is_executable = path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        if !is_executable {
            return Err(SourceError::NotExecutable(path.to_owned()));
        }
        let program = std::path::absolute(path).map_err(|source| SourceError::Io { what: name.to_owned(), source })?;
        return Ok(Build { program, name: name.to_owned() });
    }
    let revision = format!("{name}^{{commit}}");
    let commit =
        git(&["rev-parse", "--verify", "--end-of-options", &revision], interrupt).map_err(|error| match error {
            SourceError::Interrupted(interrupted) => SourceError::Interrupted(interrupted),
            error => SourceError::Neither { name: name.to_owned(), reason: error.to_string() },
        })?;
    let top = git(&["rev-parse", "--show-toplevel"], interrupt)?;
    let folder = Path::new(&top).join("target/duel").join(&commit);
    let program = folder.join("pfnbench");
    let short: String = commit.chars().take(10).collect();
    let name = if commit.starts_with(name) { short } else { format!("{name} ({short})") };
    if !program.exists() {
        tell(&format!("building {name}, which takes minutes; later duels reuse the build"));
        build_commit(&commit, &folder, &program, interrupt)?;
    }
    Ok(Build { program, name })
}

fn build_commit(commit: &str, folder: &Path, program: &Path, interrupt: &Interrupt) -> Result<(), SourceError> {
    let io = |source| SourceError::Io { what: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(io)?;
    let tree = folder.join("tree");
    let tree_name = tree.display().to_string();
    // Removes the work tree of an interrupted build.
    let _ = git(&["worktree", "remove", "--force", &tree_name], interrupt);
    let _ = git(&["worktree", "prune"], interrupt);
    git(&["worktree", "add", "--detach", "--force", &tree_name, commit], interrupt)?;
    let target = folder.join("target");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--package", "pfnbench"]).current_dir(&tree);
    let built = run(cargo.env("CARGO_TARGET_DIR", &target), "cargo build --release --locked", interrupt);
    let kept = built.and_then(|_| {
        // Renamed in one step, so that an existing program is always complete.
        let whole = folder.join("pfnbench.new");
        std::fs::copy(target.join("release/pfnbench"), &whole)
            .and_then(|_| std::fs::rename(&whole, program))
            .map_err(io)
    });
    // Only the program is needed; a work tree that cannot be removed merely takes space.
    let _ = git(&["worktree", "remove", "--force", &tree_name], interrupt);
    if kept.is_ok() {
        let _ = std::fs::remove_dir_all(&target);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_a_program_and_a_commit_that_work() {
        let error = |name: &str| build(name, &Interrupt::default(), |_| {}).unwrap_err().to_string();
        assert!(error("no-such-thing").contains("target/release/pfnbench"));
        assert!(error("--help").contains("HEAD~1"), "an option is not a commit");
        assert!(error("/").contains("not an executable file"));
        assert!(error("/dev/null").contains("not an executable file"));
    }

    #[test]
    fn a_program_is_not_built() {
        let this = std::env::current_exe().unwrap();
        let found = build(this.to_str().unwrap(), &Interrupt::default(), |_| panic!("a program was built")).unwrap();
        assert_eq!(found.program, this);
    }
}
