//! Compiles the lookups of a kernel with the user's compiler and the flags of that kernel.

use super::headers::Headers;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use thiserror::Error;

/// The unit that is compiled.
const UNIT: &str = include_str!("unit.c");

/// Why the lookups of a kernel cannot be compiled.
#[derive(Debug, Error)]
pub enum CompileError {
    /// There is no such compiler.
    #[error("cannot run the compiler {compiler}: {source}; install gcc, or name another one with --cc")]
    NoCompiler {
        /// The compiler's command.
        compiler: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The kernel was built by another kind of compiler, whose configuration gcc cannot read.
    #[error(
        "the kernel of {headers} was built by clang ({built_by}); its headers need clang, which pfnbench does not use"
    )]
    Clang {
        /// Folder of the headers.
        headers: PathBuf,
        /// `CONFIG_CC_VERSION_TEXT`.
        built_by: String,
    },
    /// The kernel is for another architecture.
    #[error("{} are headers for another architecture than x86-64", headers.display())]
    Architecture {
        /// Folder of the headers.
        headers: PathBuf,
    },
    /// The kernel has another memory model.
    #[error("Linux {release} is configured without {setting}, so it has no such lookups")]
    Setting {
        /// Release of the kernel.
        release: String,
        /// The setting that is missing.
        setting: &'static str,
    },
    /// The compiler reported errors. Holds the first one.
    #[error("{compiler} cannot compile the lookups of Linux {release}: {first_error}")]
    Failed {
        /// The compiler's command.
        compiler: String,
        /// Release of the kernel, e.g. `6.1.0-57-cloud-amd64`.
        release: String,
        /// First line that says `error`.
        first_error: String,
    },
    /// A file of the compilation cannot be read or written.
    #[error("cannot compile in {folder}: {source}")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
}

/// Flags of `arch/x86/Makefile` and `Makefile` that change the code of a lookup, or whether the
/// headers compile.
const FLAGS: [&str; 39] = [
    "-std=gnu11",
    "-O2",
    "-Werror=implicit-function-declaration",
    "-m64",
    "-mcmodel=kernel",
    "-mno-red-zone",
    "-mno-sse",
    "-mno-mmx",
    "-mno-sse2",
    "-mno-3dnow",
    "-mno-avx",
    "-mno-80387",
    "-mno-fp-ret-in-387",
    "-mpreferred-stack-boundary=3",
    "-mskip-rax-setup",
    "-mtune=generic",
    "-march=x86-64",
    "-falign-jumps=1",
    "-falign-loops=1",
    "-fno-stack-clash-protection",
    "-fno-PIE",
    "-fno-strict-aliasing",
    "-fno-common",
    "-fshort-wchar",
    "-funsigned-char",
    "-fms-extensions",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-fno-jump-tables",
    "-fno-delete-null-pointer-checks",
    "-fno-allow-store-data-races",
    "-fno-stack-protector",
    "-fno-strict-overflow",
    "-fno-stack-check",
    "-fconserve-stack",
    "-D__KERNEL__",
    "-DMODULE",
    "-DKBUILD_MODNAME=\"pfnbench\"",
    "-DKBUILD_BASENAME=\"pfnbench\"",
];

/// Flags that depend on the kernel's configuration.
fn configured_flags(headers: &Headers) -> Vec<&'static str> {
    let mut flags = Vec::new();
    if headers.has("CONFIG_RETPOLINE") || headers.has("CONFIG_MITIGATION_RETPOLINE") {
        flags.extend(["-mindirect-branch=thunk-extern", "-mindirect-branch-register"]);
    }
    if headers.has("CONFIG_RETHUNK") || headers.has("CONFIG_MITIGATION_RETHUNK") {
        flags.push("-mfunction-return=thunk-extern");
    }
    if headers.has("CONFIG_CC_OPTIMIZE_FOR_SIZE") {
        flags.push("-Os");
    }
    if headers.has("CONFIG_INIT_STACK_ALL_ZERO") {
        flags.push("-ftrivial-auto-var-init=zero");
    }
    flags.push(match headers.has("CONFIG_FRAME_POINTER") {
        true => "-fno-omit-frame-pointer",
        false => "-fomit-frame-pointer",
    });
    flags
}

/// What a compiler calls itself, e.g. `gcc (Debian 12.2.0-14) 12.2.0`.
///
/// # Errors
/// It cannot be run.
pub fn version(compiler: &str) -> Result<String, CompileError> {
    let output = Command::new(compiler).arg("--version").output();
    let output = output.map_err(|source| CompileError::NoCompiler { compiler: compiler.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// Compiles the lookups of a kernel in an empty folder, and returns the object file.
///
/// # Errors
/// [`CompileError`].
pub fn compile(headers: &Headers, compiler: &str, folder: &Path) -> Result<Vec<u8>, CompileError> {
    let built_by = headers.value("CONFIG_CC_VERSION_TEXT").unwrap_or_default();
    if headers.has("CONFIG_CC_IS_CLANG") {
        return Err(CompileError::Clang { headers: headers.build.clone(), built_by });
    }
    if !headers.has("CONFIG_X86_64") {
        return Err(CompileError::Architecture { headers: headers.build.clone() });
    }
    for setting in ["CONFIG_SPARSEMEM_EXTREME", "CONFIG_SPARSEMEM_VMEMMAP"] {
        if !headers.has(setting) {
            return Err(CompileError::Setting { release: headers.release.clone(), setting });
        }
    }
    let io = |source| CompileError::Io { folder: folder.to_owned(), source };
    let no_compiler = |source| CompileError::NoCompiler { compiler: compiler.to_owned(), source };
    let (unit, object) = (folder.join("unit.c"), folder.join("unit.o"));
    std::fs::write(&unit, UNIT).map_err(io)?;
    // The compiler's own headers, such as stdarg.h.
    let include = Command::new(compiler).arg("-print-file-name=include").output().map_err(no_compiler)?;
    let include = String::from_utf8_lossy(&include.stdout).trim().to_owned();
    let mut command = Command::new(compiler);
    command.args(["-nostdinc", "-isystem", &include]);
    for folder in headers.include_folders() {
        command.arg("-I").arg(folder);
    }
    for first in ["compiler-version.h", "kconfig.h", "compiler_types.h"] {
        // `compiler-version.h` is new in 5.13.
        if let Some(path) = headers.find(&format!("include/linux/{first}")) {
            command.arg("-include").arg(path);
        }
    }
    command.args(FLAGS).args(configured_flags(headers)).arg("-c").arg(&unit).arg("-o").arg(&object);
    let output = command.env("LC_ALL", "C").output().map_err(no_compiler)?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        let first_error = told.lines().find(|line| line.contains("error: ")).or(told.lines().next());
        let first_error = first_error.unwrap_or("it gave no reason").trim();
        return Err(CompileError::Failed {
            compiler: compiler.to_owned(),
            release: headers.release.clone(),
            first_error: first_error.replace(&format!("{}/", folder.display()), ""),
        });
    }
    std::fs::read(&object).map_err(io)
}
