//! A version of Linux or a size that is accepted is the same when it is printed and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pfnbench::kernel_version::KernelVersion;
use pfnbench::size::{argument, parse_size};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    match text.parse::<KernelVersion>() {
        Ok(version) => {
            assert_eq!(version.precise().parse(), Ok(version));
            assert!(version >= KernelVersion::OLDEST && !version.heading().is_empty());
            assert!([64, 128].contains(&version.medium_record_bytes()));
            version.rule_set();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match parse_size(&text) {
        Ok(bytes) => assert_eq!(parse_size(&argument(bytes)), Ok(bytes)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
