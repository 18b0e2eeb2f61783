//! The same of `lsmem`: see `machine`. Seeds and dictionary are of its tables, pairs and raw output.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    pfnbench_fuzz::checked(&String::from_utf8_lossy(data));
});
