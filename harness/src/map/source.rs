//! The source of a map: this machine, a file, standard input, or a built-in map.

use super::decoration::{self, Tally};
use super::{MapError, PhysicalMap, Reading, builtin, line_numbers, read_decoded};
use memmap_layouts::ByteSize;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thiserror::Error;

/// Limit on the length of a map in bytes. The log of a large machine has a few megabytes.
const MAX_MAP_BYTES: u64 = 64 << 20;

/// The source of a map.
///
/// ```
/// use pfnbench::map::source::Source;
///
/// let source: Source = "builtin:vm-20g".parse()?;
/// assert_eq!(source.load()?.name, "vm-20g");
/// assert_eq!("iomem.txt".parse(), Ok(Source::File("iomem.txt".into())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Source {
    /// `/proc/iomem` of this machine. Without root the kernel hides it, and a built-in map is used.
    #[default]
    ThisMachine,
    /// Standard input.
    Stdin,
    /// A file in any format that [`super::read`] knows.
    File(PathBuf),
    /// A built-in map, by name.
    Builtin(String),
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("builtin:") {
            Some(name) => Self::Builtin(name.to_owned()),
            None if text == "-" => Self::Stdin,
            None => Self::File(text.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisMachine => f.write_str("/proc/iomem"),
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

/// Why a map could not be loaded.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The text could not be read.
    #[error("cannot read the map {from}: {source}; give a text file, - for standard input, or builtin:NAME")]
    Io {
        /// Path of the file, or name of the stream.
        from: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The text exceeds the limit of 64 MiB.
    #[error(
        "the map {from} is larger than the limit of {}; give a text file with a memory map",
        ByteSize(MAX_MAP_BYTES)
    )]
    TooLarge {
        /// Path of the file, or name of the stream.
        from: String,
    },
    /// The text could not be parsed.
    #[error("{from}: {source}")]
    Map {
        /// Path of the file, or name of the stream.
        from: String,
        /// The error in the text.
        source: MapError,
    },
    /// A built-in map is a whole machine.
    #[error("{from} is a whole machine; give it without other files")]
    Alone {
        /// Name of the map.
        from: String,
    },
    /// No built-in map has this name.
    #[error("there is no built-in map {name:?}; there are {known}")]
    NoSuchBuiltin {
        /// The name asked for.
        name: String,
        /// The names of all built-in maps.
        known: String,
    },
}

/// The name of a map file without folder and extension.
fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}

impl Source {
    /// A short name: that of the file, without folder and extension.
    fn name(&self) -> String {
        match self {
            Self::ThisMachine => "this-machine".to_owned(),
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => stem(path),
            Self::Builtin(name) => name.clone(),
        }
    }

    /// The text of the source.
    fn bytes(&self) -> Result<Vec<u8>, SourceError> {
        let from = self.to_string();
        match self {
            Self::ThisMachine => read_file(Path::new("/proc/iomem"), &from),
            Self::Stdin => read_limited(io::stdin(), &from),
            Self::File(path) => read_file(path, &from),
            Self::Builtin(_) => Err(SourceError::Alone { from }),
        }
    }

    /// Reads and parses the description of a machine.
    ///
    /// # Errors
    /// [`SourceError`]. It is no error if this machine hides its map: a built-in map is used, with
    /// a warning.
    pub fn read(&self) -> Result<Reading, SourceError> {
        match self {
            Self::ThisMachine => this_machine(Path::new("/proc/iomem")),
            Self::Stdin => {
                let from = "standard input";
                parse("stdin", from, from, &read_limited(io::stdin(), from)?)
            }
            Self::File(path) => {
                let from = path.display().to_string();
                let bytes = read_file(path, &from)?;
                // The name without the folder: maps are stored in run folders, and folder names may
                // identify people.
                let name = stem(path);
                parse(&name, &format!("the file {name}"), &from, &bytes)
            }
            Self::Builtin(name) => {
                let map = builtin::by_name(name).ok_or_else(|| SourceError::NoSuchBuiltin {
                    name: name.clone(),
                    known: builtin::names().collect::<Vec<_>>().join(", "),
                })?;
                Ok(Reading::of_map(map))
            }
        }
    }

    /// Reads and parses the map, without what its ranges consist of. Lines that were not understood are
    /// among its warnings.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn load(&self) -> Result<PhysicalMap, SourceError> {
        let Reading { mut map, unknown, contradictions, .. } = self.read()?;
        // Those who read the map only are told what it may lack.
        map.warnings.extend(contradictions);
        if !unknown.is_empty() {
            let lines = line_numbers(unknown.iter().map(|line| line.line));
            map.warnings.push(format!("lines that were not understood: {lines}"));
        }
        Ok(map)
    }
}

/// Reads the description of one machine from several sources. Lines are counted through all of them.
///
/// # Errors
/// [`SourceError`] of the first source that cannot be read or parsed; or none of them names memory. A
/// source that names nothing is no error if another does.
pub fn read_all(sources: &[Source]) -> Result<Reading, SourceError> {
    if let [source] = sources {
        return source.read();
    }
    let mut names = Vec::new();
    let mut text = String::new();
    for source in sources {
        let bytes = source.bytes()?;
        let from = source.to_string();
        let decoded = decoration::decode(&bytes, &mut Tally::default()).into_owned();
        match read_decoded("", "", &decoded, Tally::default()) {
            Ok(_) | Err(MapError::Nothing { .. }) => {}
            Err(source) => return Err(SourceError::Map { from, source }),
        }
        names.push(source.name());
        text.push_str(&decoded);
        // Each source is a part of its own.
        text.push_str("\n---\n");
    }
    let name = names.join("+");
    let origin = format!("the files {}", names.join(", "));
    read_decoded(&name, &origin, &text, Tally::default())
        .map_err(|source| SourceError::Map { from: names.join(", "), source })
}

fn read_file(path: &Path, from: &str) -> Result<Vec<u8>, SourceError> {
    let file = File::open(path).map_err(|source| SourceError::Io { from: from.to_owned(), source })?;
    read_limited(file, from)
}

fn read_limited(source: impl Read, from: &str) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    match source.take(MAX_MAP_BYTES + 1).read_to_end(&mut bytes) {
        Err(source) => Err(SourceError::Io { from: from.to_owned(), source }),
        Ok(_) if bytes.len() as u64 > MAX_MAP_BYTES => Err(SourceError::TooLarge { from: from.to_owned() }),
        Ok(_) => Ok(bytes),
    }
}

fn parse(name: &str, origin: &str, from: &str, bytes: &[u8]) -> Result<Reading, SourceError> {
    let mut tally = Tally::default();
    let text = decoration::decode(bytes, &mut tally);
    if is_binary(&text) {
        return Err(SourceError::Map { from: from.to_owned(), source: MapError::Binary });
    }
    read_decoded(name, origin, &text, tally).map_err(|source| SourceError::Map { from: from.to_owned(), source })
}

/// Whether a text is a file of another kind: its beginning has many characters that no text has.
fn is_binary(text: &str) -> bool {
    const LOOKED_AT: usize = 4096;
    let is_strange = |char: &char| matches!(char, '\0'..='\u{6}' | '\u{e}'..='\u{1a}' | '\u{fffd}');
    let nr_strange = text.chars().take(LOOKED_AT).filter(is_strange).count();
    nr_strange > 16 && nr_strange * 8 > text.chars().take(LOOKED_AT).count()
}

fn this_machine(iomem: &Path) -> Result<Reading, SourceError> {
    let io = |source| SourceError::Io { from: iomem.display().to_string(), source };
    let reason = match std::fs::read(iomem) {
        Ok(bytes) => match parse("this-machine", "this machine", &iomem.display().to_string(), &bytes) {
            Err(SourceError::Map { source: MapError::Hidden, .. }) => "shows addresses only to root",
            other => return other,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => "does not exist",
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "cannot be read by this user",
        Err(error) => return Err(io(error)),
    };
    let mut map = builtin::fallback();
    let instead = format!(
        "{} {reason}: using the built-in map {} ({}) instead; run as root, or give a map with --map FILE",
        iomem.display(),
        map.name,
        map.summary()
    );
    map.warnings.insert(0, instead);
    Ok(Reading::of_map(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_hidden_map_is_replaced_by_a_built_in_one_with_a_warning() {
        let mut hidden = tempfile::NamedTempFile::new().unwrap();
        writeln!(hidden, "00000000-00000000 : Reserved\n00000000-00000000 : System RAM").unwrap();
        let map = this_machine(hidden.path()).unwrap().map;
        assert_eq!(map.name, builtin::fallback().name);
        assert!(map.warnings[0].contains("only to root") && map.warnings[0].contains(&map.name), "{:?}", map.warnings);
        assert!(this_machine(Path::new("/does/not/exist")).unwrap().map.warnings[0].contains("does not exist"));
    }

    #[test]
    fn a_hidden_file_is_an_error_that_names_the_remedy() {
        let error = parse("x", "x", "x.txt", b"00000000-00000000 : System RAM\n").unwrap_err().to_string();
        assert!(error.contains("x.txt") && error.contains("as root"), "{error}");
    }

    #[test]
    fn an_endless_source_is_refused() {
        let error = Source::File("/dev/zero".into()).load().unwrap_err().to_string();
        assert!(error.contains("/dev/zero is larger than the limit of 64 MiB"), "{error}");
        assert!(parse("x", "x", "x", "\u{feff}1000-1fff : System RAM\n".as_bytes()).is_ok(), "a byte order mark");
    }

    #[test]
    fn names_select_the_source() {
        let parse = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(parse("-"), Source::Stdin);
        assert_eq!(parse("builtin:x"), Source::Builtin("x".into()));
        assert_eq!(parse("dir/x.txt"), Source::File("dir/x.txt".into()));
        let error = parse("builtin:nowhere").load().unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains(&builtin::fallback().name), "{error}");
    }
}
