//! Error numbers of Linux that messages name, by number or by text.

/// Number, name and text (as `strerror` prints it) of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno {
    pub number: u16,
    pub name: &'static str,
    pub text: &'static str,
}

const fn errno(number: u16, name: &'static str, text: &'static str) -> Errno {
    Errno { number, name, text }
}

/// From `include/uapi/asm-generic/errno-base.h` and `errno.h`.
const ERRNOS: &[Errno] = &[
    errno(1, "EPERM", "Operation not permitted"),
    errno(2, "ENOENT", "No such file or directory"),
    errno(4, "EINTR", "Interrupted system call"),
    errno(5, "EIO", "Input/output error"),
    errno(6, "ENXIO", "No such device or address"),
    errno(7, "E2BIG", "Argument list too long"),
    errno(11, "EAGAIN", "Resource temporarily unavailable"),
    errno(12, "ENOMEM", "Cannot allocate memory"),
    errno(13, "EACCES", "Permission denied"),
    errno(14, "EFAULT", "Bad address"),
    errno(16, "EBUSY", "Device or resource busy"),
    errno(17, "EEXIST", "File exists"),
    errno(19, "ENODEV", "No such device"),
    errno(22, "EINVAL", "Invalid argument"),
    errno(26, "ETXTBSY", "Text file busy"),
    errno(27, "EFBIG", "File too large"),
    errno(28, "ENOSPC", "No space left on device"),
    errno(30, "EROFS", "Read-only file system"),
    errno(34, "ERANGE", "Numerical result out of range"),
    errno(38, "ENOSYS", "Function not implemented"),
    errno(95, "EOPNOTSUPP", "Operation not supported"),
    errno(110, "ETIMEDOUT", "Connection timed out"),
];

/// The error with a number, which may be negative, as in the kernel.
pub(super) fn by_number(text: &str) -> Option<Errno> {
    let number: u16 = text.trim_start_matches('-').parse().ok()?;
    ERRNOS.iter().copied().find(|errno| errno.number == number)
}

/// The error whose text `text` begins with; the longest, since "No such device" begins others.
pub(super) fn by_text(text: &str) -> Option<Errno> {
    ERRNOS.iter().copied().filter(|errno| text.starts_with(errno.text)).max_by_key(|errno| errno.text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_by_number_and_by_the_longest_text() {
        assert_eq!(by_number("-22").map(|errno| errno.name), Some("EINVAL"));
        assert_eq!(by_number("6").map(|errno| errno.name), Some("ENXIO"));
        assert_eq!(by_number("-99999999"), None);
        assert_eq!(by_text("No such device or address again").map(|errno| errno.name), Some("ENXIO"));
        assert_eq!(by_text("No such device").map(|errno| errno.name), Some("ENODEV"));
        assert_eq!(by_text("no"), None);
    }
}
