//! The two builds of a duel: files, or commits of the checkout that are built for it.
//!
//! A commit is built in a work tree of its own below `target/duel` of the checkout and kept there, so that the next duel with it begins
//! at once. The caller's work tree is not touched.

use crate::interrupt::Interrupt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use thiserror::Error;

/// A build that takes part.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its program.
    pub program: PathBuf,
    /// What the user called it; of a commit with its short hash.
    pub name: String,
}

/// Why there is no build.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Neither a file nor a commit.
    #[error(
        "{name:?} is neither a program nor a commit of this checkout ({reason}); name a file such as target/release/pfnbench, or a commit such as HEAD~1"
    )]
    Neither {
        /// What was named.
        name: String,
        /// What git says.
        reason: String,
    },
    /// A folder, or not executable.
    #[error("{} cannot be run: it is no executable file", .0.display())]
    NotExecutable(PathBuf),
    /// Git or cargo failed.
    #[error("{what} failed: {said}")]
    Failed {
        /// The command.
        what: String,
        /// The last line that it wrote.
        said: String,
    },
    /// A command cannot be started.
    #[error("{what}: {source}")]
    Io {
        /// The command.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error("stopped")]
    Interrupted(#[from] crate::interrupt::Interrupted),
}

/// Runs a command to its end; what it wrote to its standard output.
fn run(command: &mut Command, what: &str, interrupt: &Interrupt) -> Result<String, SourceError> {
    let failed = |source| SourceError::Io { what: what.to_owned(), source };
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn io::Read + Send>>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            // What cannot be read is missing from a message.
            let _ = pipe.map(|mut pipe| io::Read::read_to_end(&mut pipe, &mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let output = read(output.map(|pipe| Box::new(pipe) as _));
    let errors = read(errors.map(|pipe| Box::new(pipe) as _));
    let status = loop {
        if let Err(interrupted) = interrupt.check() {
            // One that has ended already is no error.
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
            let said = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            Err(SourceError::Failed { what: what.to_owned(), said: said.trim().to_owned() })
        }
    }
}

fn git(args: &[&str], interrupt: &Interrupt) -> Result<String, SourceError> {
    run(Command::new("git").args(args), &format!("git {}", args.join(" ")), interrupt)
}

/// The build that `name` names: a program if there is such a file, else a commit, which is built unless it was before.
///
/// # Errors
/// [`SourceError`].
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
        tell(&format!("building {name}, once; it takes some minutes"));
        build_commit(&commit, &folder, &program, interrupt)?;
    }
    Ok(Build { program, name })
}

fn build_commit(commit: &str, folder: &Path, program: &Path, interrupt: &Interrupt) -> Result<(), SourceError> {
    let io = |source| SourceError::Io { what: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(io)?;
    let tree = folder.join("tree");
    let tree_name = tree.display().to_string();
    // What an earlier build left that was interrupted.
    let _ = git(&["worktree", "remove", "--force", &tree_name], interrupt);
    let _ = git(&["worktree", "prune"], interrupt);
    git(&["worktree", "add", "--detach", "--force", &tree_name, commit], interrupt)?;
    let target = folder.join("target");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--package", "pfnbench"]).current_dir(&tree);
    let built = run(cargo.env("CARGO_TARGET_DIR", &target), "cargo build --release --locked", interrupt);
    let kept = built.and_then(|_| {
        // In one step, so that a program that is there is whole.
        let whole = folder.join("pfnbench.new");
        std::fs::copy(target.join("release/pfnbench"), &whole)
            .and_then(|_| std::fs::rename(&whole, program))
            .map_err(io)
    });
    // The program is all that is needed; what cannot be removed takes room and nothing else.
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
    fn what_is_neither_a_program_nor_a_commit_is_refused_with_what_works() {
        let of = |name: &str| build(name, &Interrupt::default(), |_| {}).unwrap_err().to_string();
        assert!(of("no-such-thing").contains("target/release/pfnbench"));
        assert!(of("--help").contains("HEAD~1"), "an option is no commit");
        assert!(of("/").contains("no executable file"));
        assert!(of("/dev/null").contains("no executable file"));
    }

    #[test]
    fn a_program_is_taken_as_it_is() {
        let this = std::env::current_exe().unwrap();
        let found = build(this.to_str().unwrap(), &Interrupt::default(), |_| panic!("nothing is built")).unwrap();
        assert_eq!(found.program, this);
    }
}
