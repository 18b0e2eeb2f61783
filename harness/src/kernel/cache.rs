//! The compiled kernels of this user: a folder with one object file and its description for each.

use super::alternatives::PagingLevels;
use super::code::Code;
use super::compiler::{self, CompileError};
use super::error::ImageError;
use super::headers::Headers;
use super::release;
use crate::files::replace;
use crate::record::files::sha256;
use jiff::Timestamp;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Name of the object file in the folder of a kernel.
const OBJECT: &str = "lookups.o";
/// Name of the description. It is written last, so a folder without it is incomplete.
const KERNEL: &str = "kernel.json";

/// A compiled kernel, as described in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `UTS_RELEASE`, e.g. `6.1.0-57-cloud-amd64`.
    pub release: String,
    /// First two numbers of the release, e.g. `6.1`.
    pub version: String,
    /// What the compiler called itself.
    pub compiler: String,
    /// The compiler that built the kernel itself: `CONFIG_CC_VERSION_TEXT`.
    pub kernel_compiler: String,
    /// Where the headers came from: a package or a folder.
    pub from: String,
    /// When it was compiled, in UTC.
    pub added: String,
    /// SHA-256 of the object file.
    pub sha256: String,
}

/// Why the cache of compiled kernels cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// There is no place for it.
    #[error("neither XDG_CACHE_HOME nor HOME names a folder for compiled kernels")]
    NoHome,
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// Others could have written the code.
    #[error(
        "{path} is owned by user {owner} with mode {mode:o}; only code that you alone can write is run: remove the \
         kernel and add it again"
    )]
    NotOwned {
        /// The file or folder.
        path: PathBuf,
        /// User id of the owner.
        owner: u32,
        /// Permission bits.
        mode: u32,
    },
    /// A file is not what was written.
    #[error("{path} is damaged: {reason}; add the kernel again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No kernel of this version was added.
    #[error("no kernel {version:?} was added; {known}")]
    Unknown {
        /// The version that was asked for.
        version: String,
        /// The kernels that were, or how to add one.
        known: String,
    },
    /// The lookups cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The object file cannot be loaded.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// The cache of compiled kernels.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    |source| CacheError::Io { path, source }
}

impl Cache {
    /// The cache of this user, by the XDG base directory specification.
    ///
    /// # Errors
    /// The user has no home.
    pub fn from_user() -> Result<Self, CacheError> {
        let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
        let home = || std::env::home_dir().and_then(absolute).map(|home| home.join(".cache"));
        Ok(Self(cache.or_else(home).ok_or(CacheError::NoHome)?.join("pfnbench/kernels")))
    }

    /// The folder of apt's lists of other releases, beside the compiled kernels.
    pub fn lists_folder(&self) -> PathBuf {
        self.0.with_file_name("apt")
    }

    /// The folder of a kernel.
    pub fn folder(&self, kernel: &Kernel) -> PathBuf {
        self.0.join(&kernel.release)
    }

    /// The kernels that were added, by release.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn kernels(&self) -> Result<Vec<Kernel>, CacheError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_at(&self.0)(error)),
        };
        let mut kernels = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_at(&self.0))?.path().join(KERNEL);
            let text = match fs::read(&path) {
                Ok(text) => text,
                // A folder without a description was never completed.
                Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
                    continue;
                }
                Err(error) => return Err(io_at(&path)(error)),
            };
            let damaged = |error: serde_json::Error| CacheError::Damaged { path, reason: error.to_string() };
            kernels.push(serde_json::from_slice::<Kernel>(&text).map_err(damaged)?);
        }
        kernels.sort_by_key(|kernel| (release::numbers(&kernel.release), kernel.release.clone()));
        Ok(kernels)
    }

    /// Compiles the lookups of a kernel, checks that they can be loaded, and keeps them.
    ///
    /// # Errors
    /// [`CacheError`]; what was there before stays.
    pub fn add(&self, headers: &Headers, compiler: &str, from: String) -> Result<Kernel, CacheError> {
        fs::create_dir_all(&self.0).map_err(io_at(&self.0))?;
        let work = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.0).map_err(io_at(&self.0))?;
        let object = compiler::compile(headers, compiler, work.path())?;
        let release = Code::load(&object, PagingLevels::Four, 0)?.facts().release.clone();
        // It becomes the name of a folder.
        let is_name = Path::new(&release).file_name().is_some_and(|name| name == release.as_str());
        if !is_name {
            return Err(CacheError::Damaged {
                path: headers.build.clone(),
                reason: format!("its release is {release:?}"),
            });
        }
        let kernel = Kernel {
            version: release::version(&release),
            compiler: compiler::version(compiler)?,
            kernel_compiler: headers.value("CONFIG_CC_VERSION_TEXT").unwrap_or_default(),
            from,
            added: Timestamp::now().to_string(),
            sha256: sha256(&object),
            release,
        };
        let folder = self.folder(&kernel);
        fs::create_dir_all(&folder).map_err(io_at(&folder))?;
        let private = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io_at(path));
        private(&folder, 0o700)?;
        let (object_path, kernel_path) = (folder.join(OBJECT), folder.join(KERNEL));
        replace(&object_path, &object).map_err(io_at(&object_path))?;
        private(&object_path, 0o600)?;
        let json = serde_json::to_vec_pretty(&kernel).expect("a kernel has string keys only");
        replace(&kernel_path, &json).map_err(io_at(&kernel_path))?;
        Ok(kernel)
    }

    /// The newest kernel of a version such as `6.1`, or the one of a release.
    ///
    /// # Errors
    /// None was added, or the cache cannot be read.
    pub fn find(&self, version: &str) -> Result<Kernel, CacheError> {
        let kernels = self.kernels()?;
        let is_it = |kernel: &&Kernel| kernel.version == version || release::is_called(&kernel.release, version);
        if let Some(kernel) = kernels.iter().rev().find(is_it) {
            return Ok(kernel.clone());
        }
        let known: Vec<&str> = kernels.iter().map(|kernel| kernel.release.as_str()).collect();
        let known = match known.is_empty() {
            true => format!("run pfnbench kernel add {version}"),
            false => format!("there are {}; pfnbench kernel add {version} adds it", known.join(", ")),
        };
        Err(CacheError::Unknown { version: version.to_owned(), known })
    }

    /// Removes a kernel.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, kernel: &Kernel) -> Result<(), CacheError> {
        let folder = self.folder(kernel);
        fs::remove_dir_all(&folder).map_err(io_at(&folder))
    }

    /// The object file of a kernel, if only this user could have written it.
    ///
    /// # Errors
    /// It cannot be read, others could have written it, or it changed since.
    pub fn object(&self, kernel: &Kernel) -> Result<Vec<u8>, CacheError> {
        let folder = self.folder(kernel);
        let path = folder.join(OBJECT);
        for path in [&folder, &path] {
            let found = fs::symlink_metadata(path).map_err(io_at(path))?;
            if found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
                let (owner, mode) = (found.uid(), found.mode() & 0o7777);
                return Err(CacheError::NotOwned { path: path.clone(), owner, mode });
            }
        }
        let object = fs::read(&path).map_err(io_at(&path))?;
        if sha256(&object) != kernel.sha256 {
            return Err(CacheError::Damaged { path, reason: "its SHA-256 is not that of kernel.json".to_owned() });
        }
        Ok(object)
    }
}
