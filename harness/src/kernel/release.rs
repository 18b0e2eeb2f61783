//! Names of kernel releases, such as `6.1.0-57-cloud-amd64`.

use crate::kernel_version::KernelVersion;

/// The numbers in a name, by which releases are sorted.
pub fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// The version: the first two numbers.
pub fn version(release: &str) -> String {
    release.parse::<KernelVersion>().map_or_else(|_| release.to_owned(), |version| version.to_string())
}

/// The layout with the rules of a kernel, by its release.
pub fn layout_of(release: &str) -> &'static str {
    match release.parse::<KernelVersion>() {
        // 5.12 introduced the taint flag.
        Ok(version) if version < KernelVersion::new(5, 12) => "linux-5.10",
        Ok(version) if version < KernelVersion::new(7, 0) => "linux-6.1",
        _ => "linux-7.2",
    }
}

/// True if a release is what a user calls it: its whole name, or its first parts.
pub fn is_called(release: &str, asked: &str) -> bool {
    let rest = release.strip_prefix(asked).filter(|_| !asked.is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '+', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_first_two_numbers() {
        assert_eq!(version("6.1.0-57-cloud-amd64"), "6.1");
        assert_eq!(version("6.12.117+deb12-cloud-amd64"), "6.12");
        assert_eq!(version("7.3.4"), "7.3");
    }

    #[test]
    fn a_release_is_called_by_its_first_parts() {
        for (asked, is_it) in
            [("6.1.0-57-amd64", true), ("6.1", true), ("6.1.0-57", true), ("6.1.0-5", false), ("", false)]
        {
            assert_eq!(is_called("6.1.0-57-amd64", asked), is_it, "{asked:?}");
        }
    }

    #[test]
    fn rules_follow_the_release() {
        for (release, layout) in [
            ("5.10.0-46-cloud-amd64", "linux-5.10"),
            ("5.12.1", "linux-6.1"),
            ("6.12.117+deb13-amd64", "linux-6.1"),
            ("7.2.13+deb14-cloud-amd64", "linux-7.2"),
        ] {
            assert_eq!(layout_of(release), layout, "{release}");
        }
    }
}
