//! The command `pfnbench kernel show`.

use crate::cli::{Answer, print};
use crate::kernel::alternatives::PagingLevels;
use crate::kernel::cache::Cache;
use crate::kernel::code::Code;
use crate::kernel::listing;
use clap::Args;

/// Show the machine code of a compiled lookup
///
/// Jumps are those of the page tables of this processor, as alternatives leave them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel show 6.1                       pfn_valid as a function
  pfnbench kernel show 6.1 loop_valid_chained    a timed loop

Compiled kernel code is under the GPL: it is shown and never stored in a run.

Exit codes: 0 success; 2 an error or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ShowArgs {
    /// Version or release
    version: String,
    /// The function; an unknown one is an error that lists all
    #[arg(default_value = "one_valid")]
    function: String,
}

impl ShowArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let cache = Cache::from_user()?;
        let kernel = cache.find(&self.version)?;
        let levels = PagingLevels::from_processor();
        let code = Code::load(&cache.object(&kernel)?, levels, 0)?;
        let Some(listing) = listing::listing(code.image(), &self.function) else {
            let known = listing::functions(code.image()).join(", ");
            anyhow::bail!("{} has no function {}; there are {known}", kernel.release, self.function);
        };
        print(format!("{} of Linux {}, compiled by {}", self.function, kernel.release, kernel.compiler))?;
        listing.iter().try_for_each(|(at, text)| print(format!("{at:5x}  {text}")))?;
        Ok(Answer::Yes)
    }
}
