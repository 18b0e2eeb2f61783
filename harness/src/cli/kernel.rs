//! The command `pfnbench kernel`.

use super::{Answer, Json, print, print_json};
use crate::kernel::cache::Cache;
use crate::kernel::debian::{Lists, PackageError};
use crate::kernel::headers::Headers;
use anyhow::Context;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel add 6.1
  pfnbench run --kernel 6.1 --layout subsection
  pfnbench kernel list

Compiled kernel code is under the GPL. It stays in your cache folder
($XDG_CACHE_HOME/pfnbench/kernels); pfnbench never ships it.

Exit codes: 0 success; 2 an error or a usage error.")]
pub(super) struct KernelArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(AddArgs),
    List(ListArgs),
    Remove(RemoveArgs),
}

/// Compile the lookups of a kernel
///
/// The headers come from the Debian package of the version, which is downloaded and unpacked aside.
/// A version that this system's release lacks is looked for in the other releases.
/// Nothing is installed, and no privilege is needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel add 6.1
  pfnbench kernel add 6.1.0-57-cloud-amd64
  pfnbench kernel add 5.10
  pfnbench kernel add --running
  pfnbench kernel add --headers ~/linux/build

Exit codes: 0 success; 2 an error or a usage error.")]
struct AddArgs {
    /// Version, e.g. 6.1 for its newest package, or the name of a release
    #[arg(required_unless_present_any = ["headers", "running"], conflicts_with_all = ["headers", "running"])]
    version: Option<String>,
    /// Use the headers in this build folder of a configured kernel
    #[arg(long, value_name = "DIR", conflicts_with = "running")]
    headers: Option<PathBuf>,
    /// Use the headers of the running kernel
    #[arg(long)]
    running: bool,
    /// The compiler
    #[arg(long, value_name = "COMMAND", default_value = "gcc")]
    cc: String,
    #[command(flatten)]
    json: Json,
}

/// List the kernels that were added
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel list
  pfnbench kernel list --json

Exit codes: 0 success; 2 an error or a usage error.")]
struct ListArgs {
    #[command(flatten)]
    json: Json,
}

/// Remove a kernel that was added
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel remove 6.1

Exit codes: 0 success; 2 an error or a usage error.")]
struct RemoveArgs {
    /// Version or release
    version: String,
}

impl KernelArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        match &self.action {
            Action::Add(args) => args.run(),
            Action::List(args) => args.run(),
            Action::Remove(args) => args.run(),
        }
    }
}

impl AddArgs {
    fn run(&self) -> anyhow::Result<Answer> {
        let cache = Cache::from_user()?;
        let kernel = match (&self.version, &self.headers) {
            (Some(version), _) => {
                let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
                let (package, build) = download(version, &cache, folder.path())?;
                cache.add(&Headers::open(&build)?, &self.cc, format!("package {package}"))?
            }
            (None, Some(folder)) => cache.add(&Headers::open(folder)?, &self.cc, "a folder".to_owned())?,
            (None, None) => {
                let release = rustix::system::uname().release().to_string_lossy().into_owned();
                let folder = Path::new("/lib/modules").join(&release).join("build");
                cache.add(&Headers::open(&folder)?, &self.cc, "the running kernel".to_owned())?
            }
        };
        if self.json.json {
            print_json(&kernel)?;
        } else {
            let version = &kernel.version;
            print(format!("Linux {}, compiled by {}", kernel.release, kernel.compiler))?;
            print(format!("folder  {}", cache.folder(&kernel).display()))?;
            print(format!("race    pfnbench run --kernel {version} --layout subsection"))?;
        }
        Ok(Answer::Yes)
    }
}

/// Downloads and unpacks the headers of a version. Returns the package and its build folder. A
/// package that this system does not know, or whose archive has a newer one by now, is looked for in
/// every release of Debian.
fn download(version: &str, cache: &Cache, folder: &Path) -> Result<(String, PathBuf), PackageError> {
    let get = |lists: &Lists| {
        let package = lists.find(version)?;
        eprintln!("pfnbench: downloading {package}");
        let build = lists.unpack(&package, folder)?;
        Ok((package, build))
    };
    let error = match get(&Lists::of_this_system()) {
        Err(error @ (PackageError::Unknown { .. } | PackageError::Failed { .. })) => error,
        other => return other,
    };
    eprintln!("pfnbench: {error}");
    eprintln!("pfnbench: looking in every Debian release");
    match Lists::of_every_release(&cache.lists_folder()) {
        Ok(every) => get(&every),
        Err(PackageError::NotDebian) => Err(error),
        Err(error) => Err(error),
    }
}

impl ListArgs {
    fn run(&self) -> anyhow::Result<Answer> {
        let kernels = Cache::from_user()?.kernels()?;
        if self.json.json {
            print_json(&kernels)?;
        } else if kernels.is_empty() {
            print("no kernel was added; try pfnbench kernel add 6.1")?;
        }
        if !self.json.json {
            for kernel in &kernels {
                print(format!("{:<6} {}, compiled by {}", kernel.version, kernel.release, kernel.compiler))?;
            }
        }
        Ok(Answer::Yes)
    }
}

impl RemoveArgs {
    fn run(&self) -> anyhow::Result<Answer> {
        let cache = Cache::from_user()?;
        cache.remove(&cache.find(&self.version)?)?;
        Ok(Answer::Yes)
    }
}
