//! Architectures as values of an option.

use crate::hotplug_check::architecture::Architecture;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Parses the name of one of these architectures, or the name that `uname -m` prints for it.
pub(super) fn architectures(known: &[Architecture]) -> impl TypedValueParser<Value = Architecture> + use<> {
    let value = |architecture: &Architecture| {
        let value = PossibleValue::new(architecture.name());
        match architecture {
            Architecture::X86_64 => value.alias("x86_64"),
            Architecture::Arm64 => value.alias("aarch64"),
            Architecture::Ppc64 => value.alias("ppc64le"),
            Architecture::S390 => value.alias("s390x"),
            Architecture::X86_64La57 | Architecture::RiscV64 => value,
        }
    };
    let values: Vec<PossibleValue> = known.iter().map(value).collect();
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Architecture>())
}
