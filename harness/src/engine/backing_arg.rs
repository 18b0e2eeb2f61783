//! The backing store of records, as the user sets it: with `--backing` or `PFNBENCH_BACKING`.

use anyhow::Context;
use memmap_layouts::backing::{DaxDevice, Memory, RamBacking};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

/// The environment variable that sets the backing of `cargo bench`.
pub const VARIABLE: &str = "PFNBENCH_BACKING";

/// One spelling of `--backing`, for help texts.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The syntax, e.g. `tmpfs[:DIR]`; optional parts are in brackets.
    pub form: &'static str,
    /// One line of help without a full stop.
    pub about: &'static str,
}

/// Every backing that `--backing` accepts, in the order of the help text.
pub const FORMS: [Form; 8] = [
    Form { form: "linux", about: "as Linux maps it: whole sections in huge pages, parts of sections in base pages" },
    Form { form: "anon", about: "private memory in base pages" },
    Form { form: "tmpfs[:DIR]", about: "a file on a tmpfs, /dev/shm by default" },
    Form { form: "tmpfs-huge[:DIR]", about: "the same in transparent huge pages, if the tmpfs allows them" },
    Form { form: "thp", about: "private memory in transparent huge pages" },
    Form { form: "hugetlb", about: "huge pages of 2 MiB from the pool (vm.nr_hugepages)" },
    Form { form: "file:DIR", about: "a file on a disk file system" },
    Form {
        form: "dax:/dev/daxX.Y",
        about: "a DAX device for the layouts that can use one, private memory for the rest",
    },
];

/// The default tmpfs, which Linux distributions mount.
const SHM: &str = "/dev/shm";

/// Placeholders for paths that are not published.
const SOME_DIR: &str = "DIR";
const SOME_DEVICE: &str = "/dev/daxX.Y";

/// The backing store of records. It is serialised as text, in the syntax of the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BackingArg {
    /// Memory, for the records of all layouts.
    Ram(RamBacking),
    /// A DAX device for the layouts that can put records on one; the others use private memory.
    Dax(PathBuf),
}

/// `linux` if the machine has transparent huge pages of 2 MiB, else `anon`. The first call reads
/// three files of sysfs; later calls reuse the result.
impl Default for BackingArg {
    fn default() -> Self {
        static DEFAULT: OnceLock<RamBacking> = OnceLock::new();
        Self::Ram(DEFAULT.get_or_init(RamBacking::like_linux).clone())
    }
}

/// The backing that [`VARIABLE`] names; `None` if the variable is not set.
///
/// # Errors
/// The value is not UTF-8, or names no backing.
pub fn from_environment() -> anyhow::Result<Option<BackingArg>> {
    let Some(value) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let text = value.to_str().with_context(|| format!("{VARIABLE} is not valid UTF-8: {}", value.display()))?;
    let parsed = text.parse().map_err(anyhow::Error::msg);
    parsed.map(Some).with_context(|| format!("{VARIABLE}={text:?}"))
}

/// The syntax of all [`FORMS`], in one line for error messages.
pub fn forms() -> String {
    FORMS.map(|form| form.form).join(", ")
}

impl FromStr for BackingArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = text.split_once(':').map_or((text, None), |(kind, path)| (kind, Some(path)));
        let dir = |default: Option<&str>| path.or(default).filter(|path| !path.is_empty()).map(PathBuf::from);
        let found = match (kind, path) {
            ("anon", None) => Some(Self::Ram(RamBacking::Anon)),
            ("linux", None) => Some(Self::Ram(RamBacking::Linux)),
            ("thp", None) => Some(Self::Ram(RamBacking::Thp)),
            ("hugetlb", None) => Some(Self::Ram(RamBacking::Hugetlb)),
            ("tmpfs", _) => dir(Some(SHM)).map(|dir| Self::Ram(RamBacking::Tmpfs(dir))),
            ("tmpfs-huge", _) => dir(Some(SHM)).map(|dir| Self::Ram(RamBacking::TmpfsHuge(dir))),
            ("file", _) => dir(None).map(|dir| Self::Ram(RamBacking::File(dir))),
            ("dax", _) => dir(None).map(Self::Dax),
            _ => None,
        };
        found.ok_or_else(|| format!("the backings are {}", forms()))
    }
}

impl TryFrom<String> for BackingArg {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BackingArg> for String {
    fn from(backing: BackingArg) -> Self {
        backing.to_string()
    }
}

impl fmt::Display for BackingArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, path): (&dyn fmt::Display, _) = match self {
            Self::Ram(backing) => match backing {
                RamBacking::Anon | RamBacking::Linux | RamBacking::Thp | RamBacking::Hugetlb => (backing, None),
                RamBacking::Tmpfs(dir) | RamBacking::TmpfsHuge(dir) => {
                    (backing, Some(dir).filter(|dir| *dir != Path::new(SHM)))
                }
                RamBacking::File(dir) => (backing, Some(dir)),
            },
            Self::Dax(device) => (&"dax", Some(device)),
        };
        match path {
            Some(path) => write!(f, "{kind}:{}", path.display()),
            None => kind.fmt(f),
        }
    }
}

impl BackingArg {
    /// The memory for records in RAM, and the opened device if one was named.
    ///
    /// # Errors
    /// This machine does not support the backing; the message says why. A huge-page pool that is
    /// too small is only detected when the records are mapped.
    pub fn open(&self) -> anyhow::Result<(RamBacking, Option<Arc<DaxDevice>>)> {
        match self {
            Self::Ram(backing) => {
                Memory::reserve(1, backing)?;
                Ok((backing.clone(), None))
            }
            Self::Dax(path) => Ok((RamBacking::Anon, Some(Arc::new(DaxDevice::open(path)?)))),
        }
    }

    /// The same backing with an absolute path, since a run may be resumed from another folder.
    ///
    /// # Errors
    /// The current folder cannot be read.
    pub fn absolute(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Ram(RamBacking::Tmpfs(dir)) => Self::Ram(RamBacking::Tmpfs(absolute(dir)?)),
            Self::Ram(RamBacking::TmpfsHuge(dir)) => Self::Ram(RamBacking::TmpfsHuge(absolute(dir)?)),
            Self::Ram(RamBacking::File(dir)) => Self::Ram(RamBacking::File(absolute(dir)?)),
            Self::Ram(RamBacking::Anon | RamBacking::Linux | RamBacking::Thp | RamBacking::Hugetlb) => self.clone(),
            Self::Dax(device) => Self::Dax(absolute(device)?),
        })
    }

    /// The kind without a path, as in rows, e.g. `tmpfs` or `dax`.
    pub fn kind(&self) -> String {
        match self {
            Self::Ram(backing) => backing.to_string(),
            Self::Dax(_) => "dax".to_owned(),
        }
    }

    /// The path that must not be published, and its placeholder: paths may contain user names.
    fn unpublished(&self) -> Option<(&Path, &'static str)> {
        match self {
            Self::Ram(RamBacking::Anon | RamBacking::Linux | RamBacking::Thp | RamBacking::Hugetlb) => None,
            Self::Ram(RamBacking::Tmpfs(dir) | RamBacking::TmpfsHuge(dir)) if dir == Path::new(SHM) => None,
            Self::Ram(RamBacking::Tmpfs(dir) | RamBacking::TmpfsHuge(dir) | RamBacking::File(dir)) => {
                Some((dir, SOME_DIR))
            }
            Self::Dax(device) if device.parent() == Some(Path::new("/dev")) => None,
            Self::Dax(device) => Some((device, SOME_DEVICE)),
        }
    }

    /// The backing as published commands show it: a placeholder replaces a private path.
    pub fn published(&self) -> String {
        self.without_private_path().to_string()
    }

    /// The backing as a published schedule has it: a placeholder replaces a private path.
    pub fn without_private_path(&self) -> Self {
        match (self.unpublished(), self) {
            (None, _) => self.clone(),
            (Some((_, stand_in)), Self::Dax(_)) => Self::Dax(stand_in.into()),
            (Some((_, stand_in)), Self::Ram(backing)) => Self::Ram(match backing {
                RamBacking::Tmpfs(_) => RamBacking::Tmpfs(stand_in.into()),
                RamBacking::TmpfsHuge(_) => RamBacking::TmpfsHuge(stand_in.into()),
                RamBacking::File(_) => RamBacking::File(stand_in.into()),
                other => other.clone(),
            }),
        }
    }

    /// True if a placeholder stands for the path, so that this backing cannot be opened.
    pub fn lacks_its_path(&self) -> bool {
        match self {
            Self::Ram(RamBacking::Tmpfs(dir) | RamBacking::TmpfsHuge(dir) | RamBacking::File(dir)) => {
                dir == Path::new(SOME_DIR)
            }
            Self::Ram(_) => false,
            Self::Dax(device) => device == Path::new(SOME_DEVICE),
        }
    }

    /// An error message about this backing, with the private path replaced for publication. Only an
    /// [`absolute`](Self::absolute) path is replaced: a relative one may be an ordinary word.
    pub fn published_message(&self, message: &str) -> String {
        match self.unpublished().filter(|(path, _)| path.is_absolute() && path.file_name().is_some()) {
            Some((path, stand_in)) => message.replace(&path.display().to_string(), stand_in),
            None => message.to_owned(),
        }
    }

    /// The suffix of case names on this backing: `@tmpfs`, `@dax=dev-dax0.0`. Characters of the
    /// path other than letters, digits, dots and underscores become hyphens. The suffix is
    /// therefore one path component and contains no regular-expression operators except dots.
    pub fn suffix(&self) -> String {
        let text = self.to_string();
        let Some((kind, path)) = text.split_once(':') else { return format!("@{text}") };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
        let words: Vec<&str> = path.split(|c| !plain(c)).filter(|word| !word.is_empty()).collect();
        format!("@{kind}={}", words.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_parsed_and_printed_back() {
        for text in [
            "linux",
            "anon",
            "thp",
            "hugetlb",
            "tmpfs",
            "tmpfs:/mnt/a b",
            "tmpfs-huge",
            "tmpfs-huge:x",
            "file:/var/tmp",
            "dax:/dev/dax0.0",
        ] {
            assert_eq!(text.parse::<BackingArg>().unwrap().to_string(), text);
        }
        assert_eq!("tmpfs:/dev/shm".parse::<BackingArg>().unwrap().to_string(), "tmpfs");
        for form in FORMS {
            let shortest = form.form.split('[').next().unwrap_or_default();
            assert!(shortest.parse::<BackingArg>().is_ok(), "{shortest}");
        }
    }

    #[test]
    fn the_default_is_linux_where_the_machine_supports_it() {
        let linux: BackingArg = "linux".parse().unwrap();
        match linux.open() {
            Ok(_) => assert_eq!(BackingArg::default(), linux),
            Err(error) => {
                eprintln!("skipped: {error}");
                assert_eq!(BackingArg::default().to_string(), "anon");
            }
        }
    }

    #[test]
    fn an_unknown_backing_is_refused_with_a_list() {
        for text in [
            "",
            "memory",
            "anon:",
            "linux:",
            "thp:x",
            "hugetlb:2M",
            "tmpfs:",
            "tmpfs-huge:",
            "file",
            "file:",
            "dax",
            "dax:",
            "Anon",
        ] {
            let error = text.parse::<BackingArg>().unwrap_err();
            assert!(FORMS.iter().all(|form| error.contains(form.form)), "{text}: {error}");
        }
    }

    #[test]
    fn suffixes_are_unique_path_components() {
        let suffix = |text: &str| text.parse::<BackingArg>().unwrap().suffix();
        assert_eq!(suffix("tmpfs"), "@tmpfs");
        assert_eq!(suffix("linux"), "@linux");
        assert_eq!(suffix("dax:/dev/dax0.0"), "@dax=dev-dax0.0");
        assert_eq!(suffix("file:/var/lib/my records/"), "@file=var-lib-my-records");
        assert_ne!(suffix("tmpfs:/huge"), suffix("tmpfs-huge"));
    }

    #[test]
    fn published_backings_contain_no_private_path() {
        for (text, published, kind) in [
            ("anon", "anon", "anon"),
            ("linux", "linux", "linux"),
            ("tmpfs", "tmpfs", "tmpfs"),
            ("tmpfs-huge:/home/ann/huge", "tmpfs-huge:DIR", "tmpfs-huge"),
            ("file:/home/ann", "file:DIR", "file"),
            ("dax:/dev/dax0.0", "dax:/dev/dax0.0", "dax"),
            ("dax:/home/ann/device", "dax:/dev/daxX.Y", "dax"),
        ] {
            let backing = text.parse::<BackingArg>().unwrap();
            assert_eq!((backing.published().as_str(), backing.kind().as_str()), (published, kind));
            // What is read back from a run folder, by whoever repeats the run.
            let read: BackingArg = published.parse().unwrap();
            assert_eq!(read, backing.without_private_path());
            assert_eq!((read.lacks_its_path(), backing.lacks_its_path()), (text != published, false), "{text}");
        }
        let message = |text: &str, message| text.parse::<BackingArg>().unwrap().published_message(message);
        assert_eq!(message("file:/home/ann", "no room in /home/ann for 1 MiB/s"), "no room in DIR for 1 MiB/s");
        assert_eq!(message("tmpfs", "no room in /dev/shm"), "no room in /dev/shm");
        assert_eq!(message("tmpfs:/", "lookups/s"), "lookups/s");
        let relative: BackingArg = "file:ann".parse().unwrap();
        assert!(matches!(relative.absolute().unwrap(), BackingArg::Ram(RamBacking::File(dir)) if dir.is_absolute()));
    }

    #[test]
    fn opening_an_unavailable_backing_is_an_error() {
        for (text, says) in [
            ("file:/does/not/exist", "/does/not/exist"),
            ("tmpfs:/proc", "not on a tmpfs"),
            ("dax:/dev/null", "not a DAX device"),
        ] {
            let error = text.parse::<BackingArg>().unwrap().open().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
