//! The `pfnbench` command.

fn main() -> std::process::ExitCode {
    pfnbench::cli::main()
}
