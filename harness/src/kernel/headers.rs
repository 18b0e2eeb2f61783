//! The headers of a kernel: a build folder, and the source folder that it belongs to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a folder does not hold usable headers.
#[derive(Debug, Error)]
pub enum HeadersError {
    /// The folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The folder is no build folder of a configured kernel.
    #[error(
        "{folder} has no {missing}; give the build folder of a configured kernel, such as /lib/modules/RELEASE/build"
    )]
    NotABuildFolder {
        /// The folder.
        folder: PathBuf,
        /// What every build folder has.
        missing: &'static str,
    },
    /// The folder names a source folder that does not exist.
    #[error("{folder} is the build folder of a kernel whose source folder {} is missing", source_folder.display())]
    NoSource {
        /// The build folder.
        folder: PathBuf,
        /// The source folder that it names.
        source_folder: PathBuf,
    },
}

/// The headers of a kernel.
#[derive(Clone, Debug)]
pub struct Headers {
    /// Folder with the configuration and the generated headers.
    pub build: PathBuf,
    /// Folder with the other headers; the same one for a kernel that was built in its tree.
    pub source: PathBuf,
    /// `UTS_RELEASE`, e.g. `6.1.0-57-cloud-amd64`.
    pub release: String,
    config: String,
}

impl Headers {
    /// Reads the headers in a build folder. The source folder is the one that its Makefile
    /// includes, or the link `source`, or the folder itself.
    ///
    /// # Errors
    /// [`HeadersError`].
    pub fn open(build: &Path) -> Result<Self, HeadersError> {
        let read = |name: &'static str| {
            let path = build.join(name);
            fs::read_to_string(&path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => HeadersError::NotABuildFolder { folder: build.to_owned(), missing: name },
                _ => HeadersError::Unreadable { path, source },
            })
        };
        let config = read("include/config/auto.conf")?;
        let release = read("include/generated/utsrelease.h")?;
        let release = release.split('"').nth(1).unwrap_or_default().to_owned();
        let source = source_of(build, &fs::read_to_string(build.join("Makefile")).unwrap_or_default());
        if !source.join("include/linux/mmzone.h").exists() {
            return Err(HeadersError::NoSource { folder: build.to_owned(), source_folder: source });
        }
        Ok(Self { build: build.to_owned(), source, release, config })
    }

    /// The value of a setting, without quotes; `None` if it is not set.
    pub fn value(&self, setting: &str) -> Option<String> {
        let lines = self.config.lines().filter_map(|line| line.split_once('='));
        let value = lines.filter(|(name, _)| *name == setting).map(|(_, value)| value).next()?;
        Some(value.trim_matches('"').to_owned())
    }

    /// True if a setting is built in.
    pub fn has(&self, setting: &str) -> bool {
        self.value(setting).as_deref() == Some("y")
    }

    /// The path of a file in the source or the build folder.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        [&self.source, &self.build].into_iter().map(|folder| folder.join(name)).find(|path| path.exists())
    }

    /// The folders in which the compiler looks for headers, in the kernel's order.
    pub fn include_folders(&self) -> Vec<PathBuf> {
        let (source, build) = (&self.source, &self.build);
        vec![
            source.join("arch/x86/include"),
            build.join("arch/x86/include/generated"),
            source.join("include"),
            build.join("include"),
            source.join("arch/x86/include/uapi"),
            build.join("arch/x86/include/generated/uapi"),
            source.join("include/uapi"),
            build.join("include/generated/uapi"),
        ]
    }
}

/// The source folder of a build folder whose Makefile has this text.
fn source_of(build: &Path, makefile: &str) -> PathBuf {
    // Debian's packages and out-of-tree builds: a Makefile of a few lines that includes the other.
    let included = makefile.lines().filter_map(|line| line.trim().strip_prefix("include ")).find_map(|path| {
        let folder = Path::new(path.trim()).parent()?;
        (!path.contains('$') && folder.is_absolute()).then(|| folder.to_owned())
    });
    let link = build.join("source");
    let candidates = [included.map(|folder| beside(build, &folder)), link.exists().then_some(link)];
    candidates.into_iter().flatten().next().unwrap_or_else(|| build.to_owned())
}

/// `folder` if it exists, or else the folder of the same name beside `build`: packages that were
/// unpacked aside do not lie where their Makefiles say.
fn beside(build: &Path, folder: &Path) -> PathBuf {
    let neighbour = build.parent().zip(folder.file_name()).map(|(parent, name)| parent.join(name));
    let neighbour = neighbour.filter(|path| !folder.exists() && path.exists());
    neighbour.unwrap_or_else(|| folder.to_owned())
}
