//! Packages of kernels, and the command `pfnbench kernel image`.

use crate::cli::{Answer, print, tell};
use crate::interrupt::Interrupt;
use crate::kernel::cache::Cache;
use crate::kernel::debian::{Content, LISTS_LAST, Lists, NEWEST, PackageError};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Downloads and unpacks a package of a version. Returns its name and its folder. A package that this
/// system does not know, or whose archive has a newer one by now, is looked for in every release of
/// Debian, whose lists are kept in `lists_folder`.
pub(super) fn download(
    content: Content,
    version: &str,
    lists_folder: &Path,
    folder: &Path,
    interrupt: &Interrupt,
) -> anyhow::Result<(String, PathBuf)> {
    let get = |lists: &Lists| {
        let package = lists.find(content, version)?;
        tell(&format!("downloading {package}"));
        let unpacked = lists.unpack(content, &package, folder)?;
        Ok((package, unpacked))
    };
    // The archive may have newer packages than lists of an hour ago.
    let in_every_release = || {
        let every = Lists::of_every_release(lists_folder, LISTS_LAST)?;
        match get(&every) {
            Err(PackageError::Failed { .. }) if interrupt.check().is_ok() => {
                get(&Lists::of_every_release(lists_folder, Duration::ZERO)?)
            }
            other => other,
        }
    };
    if version == NEWEST {
        return Ok(in_every_release()?);
    }
    let error = match get(&Lists::of_this_system()) {
        Err(error @ (PackageError::Unknown { .. } | PackageError::Failed { .. })) => error,
        other => return Ok(other?),
    };
    // A tool that Ctrl-C ended is no reason to look elsewhere.
    interrupt.check()?;
    tell(&error.to_string());
    tell("looking in every Debian release");
    match in_every_release() {
        Err(PackageError::NotDebian) => Err(error.into()),
        other => Ok(other?),
    }
}

/// Download the image and the modules of a kernel, for a virtual machine
///
/// The packages are unpacked in the folder. Nothing is installed, and no privilege is needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel image 6.1 images/6.1
  pfnbench kernel image --headers 6.1.0-57-cloud-amd64 headers/6.1

Exit codes: 0 success; 2 an error or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ImageArgs {
    /// Version, e.g. 6.1 for its newest package, the name of a release, or newest
    version: String,
    /// The folder, which is created and must not exist
    folder: PathBuf,
    /// Download its headers instead, with the tools that build modules
    #[arg(long)]
    headers: bool,
}

impl ImageArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        // As for `kernel add`.
        let interrupt = Interrupt::listen()?;
        let done = self.unpack(&interrupt);
        interrupt.check()?;
        done
    }

    fn unpack(&self, interrupt: &Interrupt) -> anyhow::Result<Answer> {
        let cannot_create = || format!("cannot create {}", self.folder.display());
        let parent = match self.folder.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent).with_context(cannot_create)?;
        if self.folder.exists() {
            anyhow::bail!("{} exists; name another folder, or remove it", self.folder.display());
        }
        // Complete or not there.
        let work = tempfile::Builder::new().prefix(".image-").tempdir_in(parent).with_context(cannot_create)?;
        let lists = Cache::from_user()?.lists_folder();
        let content = if self.headers { Content::Build } else { Content::Image };
        let (package, _) = download(content, &self.version, &lists, work.path(), interrupt)?;
        std::fs::rename(work.path(), &self.folder).with_context(cannot_create)?;
        print(package)?;
        Ok(Answer::Yes)
    }
}
