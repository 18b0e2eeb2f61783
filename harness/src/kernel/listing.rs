//! The machine code of a compiled kernel's lookups, as text for people. It is Linux's code, so it is
//! shown and never stored.

use super::image::Image;
use memmap_layouts::machine_code::iced_x86::Instruction;
use memmap_layouts::machine_code::iced_x86::{Formatter, GasFormatter, SymbolResolver, SymbolResult};
use memmap_layouts::machine_code::instructions_within;
use std::collections::BTreeMap;

/// Names of addresses: symbols, and offsets in the function that is listed.
struct Names(BTreeMap<u64, String>);

impl SymbolResolver for Names {
    fn symbol(&mut self, _: &Instruction, _: u32, _: Option<u32>, address: u64, _: u32) -> Option<SymbolResult<'_>> {
        self.0.get(&address).map(|name| SymbolResult::with_str(address, name))
    }
}

/// The functions that can be listed: those of `unit.c`.
pub fn functions(image: &Image) -> Vec<&str> {
    let names = image.symbols().keys().map(String::as_str);
    names.filter(|name| name.starts_with("one_") || name.starts_with("loop_")).collect()
}

/// The instructions of a function in AT&T syntax, with their offsets from its beginning; jumps name
/// their targets by offset, e.g. `one_valid+0x1f`. `None` if there is no such function, or its code
/// cannot be read.
pub fn listing(image: &Image, function: &str) -> Option<Vec<(u64, String)>> {
    let start = *image.symbols().get(function).filter(|_| functions(image).contains(&function))?;
    let code = instructions_within(start, 0).ok()?;
    let offset = |at: u64| at - start as u64;
    let inside = code.keys().map(|&at| (at, format!("{function}+{:#x}", offset(at))));
    let symbols = image.symbols().iter().map(|(name, &at)| (at as u64, name.clone()));
    let mut formatter = GasFormatter::with_options(Some(Box::new(Names(inside.chain(symbols).collect()))), None);
    let line = |instruction: &Instruction| {
        let mut text = String::new();
        formatter.format(instruction, &mut text);
        (offset(instruction.ip()), text)
    };
    Some(code.values().map(line).collect())
}
