//! The same of `/proc/iomem`: see `machine`. Seeds and dictionary are of this format.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    pfnbench_fuzz::checked(&String::from_utf8_lossy(data));
});
