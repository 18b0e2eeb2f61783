//! `pfnbench verify --running-kernel`.

use crate::cli::{Answer, print, print_json};

/// Compares a model of this machine with the running kernel.
#[cfg(all(feature = "pmem", target_arch = "x86_64", target_os = "linux"))]
pub(super) fn compare(in_json: bool) -> anyhow::Result<Answer> {
    use crate::case::THIS_MACHINE;
    use crate::judge::running_kernel::running_kernel;
    use crate::map::source::Source;
    use crate::present::terminal::Grid;

    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let map = Source::ThisMachine.load()?;
    if map.name != THIS_MACHINE {
        anyhow::bail!("the memory map of this machine is needed: {}", map.warnings.join("; "));
    }
    let predicates = running_kernel(&map, &release)?;
    if predicates.iter().all(|predicate| predicate.judged == 0) {
        let reasons: Vec<&str> = predicates.iter().filter_map(|predicate| predicate.unavailable.as_deref()).collect();
        anyhow::bail!("the running kernel shows nothing to compare with: {}", reasons.join("; "));
    }
    if in_json {
        print_json(&serde_json::json!({ "release": release, "map": map.summary(), "predicates": predicates }))?;
    } else {
        print(format!("Linux {release}: {}", map.summary()))?;
        let mut drawn = Grid::new();
        drawn.set_header(["predicate", "source", "page frames judged", "agreed", "not judged"]);
        drawn.right_align(2..5);
        for predicate in &predicates {
            let numbers = [predicate.judged, predicate.agreed, predicate.not_judged].map(|number| number.to_string());
            drawn.add_row([&[predicate.predicate.to_owned(), predicate.source.to_owned()][..], &numbers[..]].concat());
        }
        print(drawn)?;
        for predicate in &predicates {
            if let Some(reason) = &predicate.unavailable {
                print(format!("{}: {reason}", predicate.source))?;
            }
            if let Some(pfn) = predicate.first_difference {
                print(format!("{}: the first difference is at page frame {pfn:#x}", predicate.source))?;
            }
        }
    }
    let agrees = predicates.iter().all(|predicate| predicate.first_difference.is_none());
    Ok(if agrees { Answer::Yes } else { Answer::No })
}

/// Other machines have no such model.
#[cfg(not(all(feature = "pmem", target_arch = "x86_64", target_os = "linux")))]
pub(super) fn compare(_: bool) -> anyhow::Result<Answer> {
    anyhow::bail!("--running-kernel needs Linux on x86-64")
}
