//! Finds DPDK by pkg-config, compiles the C shim against it and binds the shim's header.
//!
//! Only the shim is bound, never DPDK's own headers: its functions are called once per burst, and the mbuf's
//! field offsets come out of it as constants, so one source serves every DPDK from 22.11 on.

use std::path::PathBuf;
use std::process::exit;

const SHIM_SOURCES: [&str; 3] = ["shim_eal.c", "shim_mbuf.c", "shim_port.c"];
const SHIM_HEADER: &str = "shim.h";

fn main() {
    for file in SHIM_SOURCES.iter().chain(&["build.rs", SHIM_HEADER]) {
        println!("cargo:rerun-if-changed={file}");
    }

    let flags = match Flags::from_pkg_config() {
        Ok(flags) => flags,
        Err(cause) => {
            eprintln!(
                "DPDK 22.11 or newer was not found; install it (Debian, Ubuntu: apt install libdpdk-dev \
                 pkg-config clang libclang-dev) or point PKG_CONFIG_PATH at the folder of its libdpdk.pc.\n\
                 pkg-config said: {cause}"
            );
            exit(1);
        }
    };

    let mut shim = cc::Build::new();
    shim.files(SHIM_SOURCES).opt_level(3).warnings(true).extra_warnings(true);
    // DPDK's headers are not written for -Wextra.
    shim.flag("-Wno-unused-parameter").flag("-Wno-deprecated-declarations");
    for flag in &flags.compile {
        shim.flag(flag);
    }
    shim.compile("proa_dpdk_shim");

    // The shim's archive needs DPDK's libraries behind it.
    for folder in &flags.link_folders {
        println!("cargo:rustc-link-search=native={}", folder.display());
    }
    for library in &flags.libraries {
        println!("cargo:rustc-link-lib=dylib={library}");
    }

    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("bindings.rs");
    let bindings = bindgen::Builder::default()
        .header(SHIM_HEADER)
        .clang_args(&flags.compile)
        .allowlist_item("(proa|PROA)_.*")
        .blocklist_type("(rte|RTE)_.*")
        .prepend_enum_name(false)
        .use_core()
        .layout_tests(true)
        .generate();
    let written = bindings.map_err(|error| error.to_string()).and_then(|bindings| {
        bindings.write_to_file(&out).map_err(|error| format!("cannot write {}: {error}", out.display()))
    });
    if let Err(cause) = written {
        eprintln!(
            "bindgen could not bind {SHIM_HEADER} (it needs libclang: apt install libclang-dev): {cause}"
        );
        exit(1);
    }
}

/// What compiling and linking against DPDK takes.
struct Flags {
    compile: Vec<String>,
    link_folders: Vec<PathBuf>,
    libraries: Vec<String>,
}

impl Flags {
    fn from_pkg_config() -> Result<Flags, pkg_config::Error> {
        let library =
            pkg_config::Config::new().atleast_version("22.11").cargo_metadata(false).probe("libdpdk")?;

        let mut compile: Vec<String> =
            library.include_paths.iter().map(|folder| format!("-I{}", folder.display())).collect();
        compile.extend(["-include".to_owned(), "rte_config.h".to_owned()]);
        compile.push(format!("-march={}", march()));
        Ok(Flags { compile, link_folders: library.link_paths, libraries: library.libs })
    }
}

/// The instruction set for the shim: what the Rust side is compiled for. A distribution's `libdpdk.pc` names
/// its own, older one (Debian: corei7); `pkg_config` leaves that out, and it must not come back in behind this.
fn march() -> &'static str {
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let has = |name: &str| features.split(',').any(|feature| feature == name);
    match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") if has("avx512f") && has("avx512bw") => "x86-64-v4",
        Ok("x86_64") if has("avx2") && has("bmi2") => "x86-64-v3",
        // The least DPDK's headers compile for.
        Ok("x86_64") => "x86-64-v2",
        _ => "armv8-a+crc",
    }
}
