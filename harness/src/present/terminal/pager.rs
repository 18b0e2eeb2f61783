//! Long output through a pager.

use super::screen;
use signal_hook::consts::{SIGINT, SIGQUIT};
use signal_hook::{flag, low_level};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The pager without `PAGER`.
const USUAL: &str = "less";

/// Options of `less` without `LESS`: it ends by itself if the text fits, keeps colours, and leaves the text on the
/// screen.
const LESS: &str = "FRX";

/// Prints a text: through `PAGER` if it is longer than the terminal, else as it is. `PAGER` may have
/// arguments; empty, or `cat`, it is not used. A pager that cannot be started is named in a warning. Only `less` is
/// known to show colours; others get the text without them.
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
    // Ctrl-C is for the pager, which would otherwise stay behind. Nobody reads the flag.
    let ignored = [SIGINT, SIGQUIT].map(|signal| flag::register(signal, Arc::new(AtomicBool::new(false))));
    let ended = start(chosen).map(|mut child| feed(&mut child, &shown_by(chosen, text)));
    ignored.into_iter().flatten().for_each(|handler| {
        low_level::unregister(handler);
    });
    match ended {
        Ok(status) => match status? {
            // A shell that does not find the program ends with 127.
            Some(127) => {
                eprintln!("pfnbench: warning: PAGER={chosen:?} was not found; printing without it");
                print_directly(text)
            }
            _ => Ok(()),
        },
        Err(error) => {
            // Nobody asked for the default.
            if pager.is_ok() {
                eprintln!("pfnbench: warning: PAGER={chosen:?} cannot be started ({error}); printing without it");
            }
            print_directly(text)
        }
    }
}

/// Writes the text to a pager and waits until it ends. Returns its exit status.
fn feed(child: &mut std::process::Child, text: &str) -> io::Result<Option<i32>> {
    if let Some(mut input) = child.stdin.take() {
        match writeln!(input, "{text}") {
            // Whoever leaves a pager early has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
    }
    Ok(child.wait()?.code())
}

/// The text as a pager shows it: with colours only for `less`.
fn shown_by(pager: &str, text: &str) -> String {
    let program = pager.split_whitespace().next().unwrap_or_default();
    match Path::new(program).file_name().is_some_and(|name| name == "less") {
        true => text.to_owned(),
        false => anstream::adapter::strip_str(text).to_string(),
    }
}

fn start(pager: &str) -> io::Result<std::process::Child> {
    let words = shlex::split(pager).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "unbalanced quotes"))?;
    let mut command = Command::new(&words[0]);
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", LESS);
    }
    command.args(&words[1..]).stdin(Stdio::piped()).spawn()
}

fn print_directly(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_less_gets_colours() {
        let text = "\u{1b}[1ma\u{1b}[0m b";
        assert_eq!(shown_by("/usr/bin/less -S", text), text);
        assert_eq!(shown_by("more", text), "a b");
    }
}
