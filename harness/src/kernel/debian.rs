//! Debian's packages of kernels: found and downloaded by name with apt, and unpacked aside. Nothing is
//! installed and no privilege is needed.

use super::release::{is_called, numbers};
use regex::Regex;
use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use thiserror::Error;

/// What a package of a kernel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Its headers, with which the lookups are compiled.
    Headers,
    /// The same with the tools that build modules.
    Build,
    /// Its image and modules, for a virtual machine.
    Image,
}

impl Content {
    /// How the names of such packages begin.
    fn prefix(self) -> &'static str {
        match self {
            Self::Headers | Self::Build => "linux-headers-",
            Self::Image => "linux-image-",
        }
    }

    /// True for a package that holds a part of the content of one that depends on it: the headers
    /// common to all flavours, and since 7.1 the image and the modules.
    fn is_part(self, name: &str) -> bool {
        match self {
            Self::Headers => name.starts_with("linux-headers-") && name.ends_with("-common"),
            Self::Build => Self::Headers.is_part(name) || name.starts_with("linux-kbuild-"),
            Self::Image => name.starts_with("linux-binary-") || name.starts_with("linux-modules-"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Headers | Self::Build => "headers",
            Self::Image => "image",
        }
    }
}

/// Why there is no package with the headers or the image of a kernel.
#[derive(Debug, Error)]
pub enum PackageError {
    /// The package manager is not there.
    #[error("cannot run {tool}: {source}; without apt and dpkg, give headers with --headers DIR or --running")]
    NoTool {
        /// The program.
        tool: &'static str,
        /// What the operating system reported.
        source: io::Error,
    },
    /// No package has that of the version.
    #[error("apt knows no {what} of Linux {version} for x86-64; {known}")]
    Unknown {
        /// `headers` or `image`.
        what: &'static str,
        /// The version that was asked for.
        version: String,
        /// What it knows instead, and what may help.
        known: String,
    },
    /// The package manager reported an error.
    #[error("{tool} failed: {told}")]
    Failed {
        /// The program.
        tool: &'static str,
        /// Its last message.
        told: String,
    },
    /// apt uses no archive of Debian, where other releases could be found.
    #[error("apt uses no archive of Debian; use the headers of another source with --headers DIR")]
    NotDebian,
    /// A folder for lists of packages cannot be written.
    #[error("cannot write to {folder}: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// An unpacked package has no build folder.
    #[error("package {package} has no folder usr/src/{package}")]
    Layout {
        /// Name of the package.
        package: String,
    },
}

/// Runs a program and returns what it printed.
fn output_of(tool: &'static str, arguments: &[&str], folder: Option<&Path>) -> Result<String, PackageError> {
    let mut command = Command::new(tool);
    command.args(arguments).env("LC_ALL", "C");
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let output = command.output().map_err(|source| PackageError::NoTool { tool, source })?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let mut errors = told.lines().filter(|line| line.starts_with("E:"));
        let told = errors.next_back().or(told.lines().next_back()).unwrap_or("it gave no reason").trim().to_owned();
        return Err(PackageError::Failed { tool, told });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Suites of Debian's archive and of its security archive, from Linux 5.10 to the newest kernel.
const SUITES: [(&str, &str); 2] = [
    ("debian", "bullseye bookworm trixie testing unstable"),
    ("debian-security", "bullseye-security bookworm-security trixie-security"),
];

/// The version that stands for the newest of all.
pub const NEWEST: &str = "newest";

/// How long lists of packages are used before they are read again.
pub const LISTS_LAST: Duration = Duration::from_secs(24 * 60 * 60);

/// Lists of packages, in which apt looks for headers.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Options of every apt command; none for the lists of this system.
    options: Vec<String>,
}

impl Lists {
    /// The lists of this system, as the last `apt-get update` left them.
    pub fn of_this_system() -> Self {
        Self::default()
    }

    /// Lists of all of Debian's releases, from the archives that this system uses. They are read
    /// into `folder` if those there are older than `most`; the system's own are not touched.
    ///
    /// # Errors
    /// apt is missing, uses no archive of Debian, or cannot read a single list.
    pub fn of_every_release(folder: &Path, most: Duration) -> Result<Self, PackageError> {
        let io = |source| PackageError::Folder { folder: folder.to_owned(), source };
        for part in ["sources", "lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(folder.join(part)).map_err(io)?;
        }
        let used = output_of("apt-get", &["indextargets", "--format", "$(REPO_URI)"], None)?;
        let mut sources = String::new();
        for (archive, suites) in SUITES {
            let uri = used.lines().find(|uri| uri.trim_end_matches('/').ends_with(&format!("/{archive}")));
            if let Some(uri) = uri {
                let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
                sources +=
                    &format!("Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {key}\n\n");
            }
        }
        if sources.is_empty() {
            return Err(PackageError::NotDebian);
        }
        let folder_text = folder.display();
        let options = [
            "Dir::Etc::SourceList=/dev/null".to_owned(),
            format!("Dir::Etc::SourceParts={folder_text}/sources"),
            format!("Dir::State::Lists={folder_text}/lists"),
            format!("Dir::Cache={folder_text}/cache"),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".to_owned(),
        ];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
        let (lists, file) = (Self { options }, folder.join("sources/pfnbench.sources"));
        let age = std::fs::metadata(&file).and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
        let same = std::fs::read_to_string(&file).is_ok_and(|there| there == sources);
        if !same || age.is_none_or(|age| age > most) {
            std::fs::write(&file, &sources).map_err(io)?;
            // A release that the archive no longer has is an error of apt, and the others are read.
            let updated = lists.apt("apt-get", &["update"], None);
            if lists.names(Content::Headers)?.is_empty() {
                std::fs::remove_file(&file).map_err(io)?;
                updated?;
            }
        }
        Ok(lists)
    }

    fn apt(&self, tool: &'static str, arguments: &[&str], folder: Option<&Path>) -> Result<String, PackageError> {
        // As root, apt downloads as another user, which may not write into our folders.
        let own = ["-o", "APT::Sandbox::User=root"];
        let options = self.options.iter().map(String::as_str);
        output_of(tool, &own.into_iter().chain(options).chain(arguments.iter().copied()).collect::<Vec<_>>(), folder)
    }

    fn names(&self, content: Content) -> Result<Vec<String>, PackageError> {
        let names = self.apt("apt-cache", &["pkgnames", content.prefix()], None)?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// The package with the headers or the image of a version: of a release such as `6.1.0-57-cloud-amd64` that one,
    /// of a version such as `6.1` the newest. Of two packages of one release, the kernel for clouds
    /// is chosen, whose package is smaller.
    ///
    /// # Errors
    /// There is no apt, or it knows no such package.
    pub fn find(&self, content: Content, version: &str) -> Result<String, PackageError> {
        let names = self.names(content)?;
        choose(content, version, names.iter().map(String::as_str))
    }

    /// Downloads a package and those with parts of its content into a folder, and unpacks them there.
    /// Returns the build folder of headers, and of an image the folder that was given.
    ///
    /// # Errors
    /// A package cannot be downloaded or unpacked.
    pub fn unpack(&self, content: Content, package: &str, folder: &Path) -> Result<PathBuf, PackageError> {
        let depends = self.apt("apt-cache", &["depends", package], None)?;
        let parts = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let parts = parts.filter(|name| content.is_part(name));
        let packages: Vec<&str> = [package].into_iter().chain(parts).collect();
        self.apt("apt-get", &[&["download"], &packages[..]].concat(), Some(folder))?;
        let files = std::fs::read_dir(folder).map_err(|source| PackageError::NoTool { tool: "apt-get", source })?;
        for file in files.filter_map(Result::ok).map(|entry| entry.path()) {
            if file.extension().is_some_and(|extension| extension == "deb") {
                let (file, folder) = (file.display().to_string(), folder.display().to_string());
                output_of("dpkg-deb", &["-x", &file, &folder], None)?;
                std::fs::remove_file(&file).map_err(|source| PackageError::Folder { folder: folder.into(), source })?;
            }
        }
        if content == Content::Image {
            return Ok(folder.to_owned());
        }
        let build = folder.join("usr/src").join(package);
        if build.is_dir() { Ok(build) } else { Err(PackageError::Layout { package: package.to_owned() }) }
    }
}

fn choose<'a>(content: Content, version: &str, names: impl Iterator<Item = &'a str>) -> Result<String, PackageError> {
    let prefix = content.prefix();
    let form = format!(r"^{prefix}(\d+\.\d+)[.\d]*(\+[a-z0-9]+)?(-\d+)?(-cloud)?-amd64$");
    let form = Regex::new(&form).expect("is valid");
    let kernels: Vec<(&str, String)> =
        names.filter_map(|name| Some((name, form.captures(name)?.get(1)?.as_str().to_owned()))).collect();
    let is_asked = |name: &str, short: &str| {
        let release = name.trim_start_matches(prefix);
        version == NEWEST || short == version || is_called(release, version)
    };
    // The meta-packages, which have two numbers only, hold nothing.
    let mut asked: Vec<&str> =
        kernels.iter().filter(|(name, short)| is_asked(name, short)).map(|(name, _)| *name).collect();
    asked.retain(|name| numbers(name.trim_end_matches("-amd64")).len() > 2);
    asked.sort_by_key(|name| {
        let release = name.trim_end_matches("-amd64");
        (Reverse(numbers(release)), !release.ends_with("-cloud"))
    });
    if let Some(name) = asked.first() {
        return Ok((*name).to_owned());
    }
    let mut known: Vec<String> = kernels.into_iter().map(|(_, short)| short).collect();
    known.sort_by_key(|short| numbers(short));
    known.dedup();
    let known = match known.is_empty() {
        true => "it knows none at all: run apt-get update as root, or take --running or --headers DIR".to_owned(),
        false => format!("it has {}; for another, use --headers DIR", known.join(", ")),
    };
    Err(PackageError::Unknown { what: content.name(), version: version.to_owned(), known })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 10] = [
        "linux-headers-amd64",
        "linux-headers-cloud-amd64",
        "linux-headers-6.12-cloud-amd64",
        "linux-headers-6.1.0-9-cloud-amd64",
        "linux-headers-6.1.0-57-amd64",
        "linux-headers-6.1.0-57-cloud-amd64",
        "linux-headers-6.1.0-57-rt-amd64",
        "linux-headers-6.1.0-57-common",
        "linux-headers-6.12.9+deb12-cloud-amd64",
        "linux-headers-6.12.117+deb12-amd64",
    ];

    #[test]
    fn the_newest_package_of_a_version_is_chosen() {
        for (version, name) in [
            ("6.1", "linux-headers-6.1.0-57-cloud-amd64"),
            ("6.1.0-57-amd64", "linux-headers-6.1.0-57-amd64"),
            ("6.1.0-9", "linux-headers-6.1.0-9-cloud-amd64"),
            ("6.12", "linux-headers-6.12.117+deb12-amd64"),
            ("6.12.9", "linux-headers-6.12.9+deb12-cloud-amd64"),
            ("newest", "linux-headers-6.12.117+deb12-amd64"),
        ] {
            assert_eq!(choose(Content::Headers, version, NAMES.into_iter()).unwrap(), name, "{version}");
        }
    }

    #[test]
    fn an_unknown_version_is_told_with_the_known_ones() {
        let told = choose(Content::Headers, "5.10", NAMES.into_iter()).unwrap_err().to_string();
        assert!(told.contains("no headers of Linux 5.10") && told.contains("it has 6.1, 6.12;"), "{told}");
        let told = choose(Content::Headers, "5.10", std::iter::empty()).unwrap_err().to_string();
        assert!(told.contains("apt-get update"), "{told}");
    }
}
