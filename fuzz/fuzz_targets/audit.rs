//! The memory of any machine can be accounted for, with the rules of several kernels.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pfnbench::audit::{Options, audit};
use pfnbench::kernel_version::KernelVersion;
use pfnbench::strand::{Candidates, Stranding};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let Some(reading) = pfnbench_fuzz::checked(&text) else { return };
    let kernels = [None, Some(KernelVersion::BEFORE_SERIES), Some(KernelVersion::CURRENT)];
    let shift = data.len().is_multiple_of(2).then_some(64 << 20);
    for kernel in kernels {
        audit(&reading, &Options { kernel, shift, ..Options::default() });
    }
    for with_ram in [false, true] {
        let candidates = Candidates::new(&reading.map, &reading.inventory, with_ram);
        Stranding::new(&candidates, &reading.map, &[]);
    }
});
