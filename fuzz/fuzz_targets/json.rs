//! The same of JSON: see `machine`. Seeds and dictionary are of ndctl, daxctl, cxl, lsmem, dmesg and journald.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    pfnbench_fuzz::checked(&String::from_utf8_lossy(data));
});
