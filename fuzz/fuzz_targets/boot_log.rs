//! The same of boot logs: see `machine`. Seeds and dictionary are of e820, EFI, SRAT, nodes, memblock and Xen.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    pfnbench_fuzz::checked(&String::from_utf8_lossy(data));
});
