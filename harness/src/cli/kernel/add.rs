//! The command `pfnbench kernel add`.

use super::package;
use crate::cli::{Answer, Json, print, print_json};
use crate::interrupt::Interrupt;
use crate::kernel::cache::Cache;
use crate::kernel::debian::Content;
use crate::kernel::headers::Headers;
use crate::kernel::release::layout_of;
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};

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

Exit codes: 0 success; 2 an error or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct AddArgs {
    /// Version, e.g. 6.1 for its newest package, the name of a release, or newest
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

impl AddArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        // Ctrl-C ends the tool that is running, and this function after it, so that no folder is left.
        let interrupt = Interrupt::listen()?;
        let done = self.add(&interrupt);
        interrupt.check()?;
        done
    }

    fn add(&self, interrupt: &Interrupt) -> anyhow::Result<Answer> {
        let cache = Cache::from_user()?;
        let kernel = match (&self.version, &self.headers) {
            (Some(version), _) => {
                let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
                let (package, build) =
                    package::download(Content::Headers, version, &cache.lists_folder(), folder.path(), interrupt)?;
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
            let model = layout_of(version);
            print(format!("race    pfnbench run --kernel {version} --layout {model} --layout subsection"))?;
        }
        Ok(Answer::Yes)
    }
}
