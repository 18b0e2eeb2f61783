//! Reads the totals that callgrind wrote, and makes rows of them.

use super::{LOOKUPS, UPDATES};
use crate::record::instructions::{Case, Counted, InstructionRow, Toolchain, instructions};

/// Reads the totals from the files of a profile, in the order in which callgrind ended them.
///
/// # Errors
/// Fails if a file was not written by callgrind.
pub fn totals(files: &[String]) -> Result<Vec<u64>, String> {
    let number = |file: &String, field: &str| {
        let line = file.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|number| number.trim().parse::<u64>().ok()).ok_or(format!("a profile without a line {field:?}"))
    };
    let parts: Result<Vec<_>, _> =
        files.iter().map(|file| Ok::<_, String>((number(file, "part:")?, number(file, "totals:")?))).collect();
    let mut parts = parts?;
    parts.sort_unstable();
    Ok(parts.into_iter().map(|(_, total)| total).collect())
}

/// Makes the rows from the totals of a profile, in the order in which the cases were counted.
///
/// # Errors
/// Fails if the totals do not match the cases that ran.
pub fn rows(cases: &[Case], totals: &[u64], toolchain: &Toolchain) -> Result<Vec<InstructionRow>, String> {
    let needed = 2 * (cases.len() + 2);
    // Callgrind writes one more total for the rest of the program, in which nothing was counted.
    let (totals, rest) = totals.split_at_checked(needed).ok_or_else(|| {
        format!("callgrind wrote {} totals instead of {needed}: it may not have found the loops by name", totals.len())
    })?;
    if rest.iter().any(|&total| total != 0) {
        return Err(format!("callgrind wrote totals after the last case: {rest:?}"));
    }
    let (pairs, _) = totals.as_chunks::<2>();
    let [lookup_loop, update_loop] = [pairs[0], pairs[1]];
    let row = |(case, &total): (&Case, &[u64; 2])| {
        let (empty_loop, n_ops) = match case.counted {
            Counted::Lookup(..) => (lookup_loop, LOOKUPS),
            Counted::Update(..) => (update_loop, UPDATES),
        };
        let count = instructions(total, empty_loop).ok_or_else(|| {
            format!(
                "{}: implausible totals for one and two passes: {total:?}, and {empty_loop:?} for the empty loop",
                case.name()
            )
        })?;
        Ok(InstructionRow::new(case, count, n_ops, toolchain))
    };
    cases.iter().zip(&pairs[2..]).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::instructions::cases;

    #[test]
    fn totals_are_sorted_by_part() {
        let part = |part, total| format!("version: 1\npid: 7\npart: {part}\nevents: Ir\n\ntotals: {total}\n");
        assert_eq!(totals(&[part(10, 3), part(2, 5), part(1, 4)]), Ok(vec![4, 5, 3]));
        assert!(totals(&["part: 1\n".to_owned()]).unwrap_err().contains("totals:"));
    }

    #[test]
    fn a_wrong_number_of_totals_is_an_error() {
        let (cases, toolchain) = (&cases()[..1], Toolchain::this());
        let lookups = |an_operation: u64| [1, 2].map(|passes| 9 + passes * LOOKUPS * (6 + an_operation));
        let mut counted: Vec<u64> = [lookups(0), [100, 180], lookups(4)].concat();
        assert_eq!(rows(cases, &counted, &toolchain).unwrap()[0].value, 4.0);
        assert!(rows(cases, &counted[..4], &toolchain).unwrap_err().contains("4 totals instead of 6"));
        counted.push(0);
        assert!(rows(cases, &counted, &toolchain).is_ok(), "an empty total after the last case is accepted");
        counted.push(1);
        assert!(rows(cases, &counted, &toolchain).is_err());
    }
}
