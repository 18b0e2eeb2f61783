//! The same of disassembled ACPI tables: see `machine`. Seeds and dictionary are of CEDT, NFIT and SRAT.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    pfnbench_fuzz::checked(&String::from_utf8_lossy(data));
});
