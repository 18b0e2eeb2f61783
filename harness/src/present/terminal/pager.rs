//! Long output through a pager.

use super::screen;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

/// The pager without `PAGER`: it ends by itself if the text fits, keeps colours, and leaves the text on
/// the screen.
const USUAL: &str = "less -FRX";

/// Prints a text: through `PAGER` if it is longer than the terminal, else as it is. `PAGER` may have
/// arguments; empty, or `cat`, it is not used. A pager that cannot be started is named in a warning.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> io::Result<()> {
    let is_long = io::stdout().is_terminal() && text.lines().count() >= screen().1;
    let pager = std::env::var("PAGER");
    let chosen = pager.as_deref().unwrap_or(USUAL).trim();
    if !is_long || chosen.is_empty() || chosen == "cat" {
        return print_directly(text);
    }
    let started = start(chosen);
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            // Nobody asked for the default.
            if pager.is_ok() {
                eprintln!("pfnbench: warning: PAGER={chosen:?} cannot be started ({error}); printing without it");
            }
            return print_directly(text);
        }
    };
    if let Some(mut input) = child.stdin.take() {
        match writeln!(input, "{text}") {
            // Whoever leaves a pager early has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
    }
    let status = child.wait()?;
    // A shell that does not find the program ends with 127.
    if status.code() == Some(127) {
        eprintln!("pfnbench: warning: PAGER={chosen:?} was not found; printing without it");
        return print_directly(text);
    }
    Ok(())
}

fn start(pager: &str) -> io::Result<std::process::Child> {
    let words = shlex::split(pager).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "unbalanced quotes"))?;
    Command::new(&words[0]).args(&words[1..]).stdin(Stdio::piped()).spawn()
}

fn print_directly(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}
