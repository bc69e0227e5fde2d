//! DPDK's l3fwd with longest prefix match, built out of the distribution's own source.

use crate::host::MEASURED_CORE;
use crate::peers::eal;
use crate::process::{self, Process};
use crate::subject::Subject;
use miette::{IntoDiagnostic, Result, WrapErr, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the package dpdk-doc puts the examples.
const EXAMPLES: &str = "/usr/share/dpdk/examples";

/// What the closed loop needs changed, and by what. Newer releases have options for both.
const CHANGES: [(&str, &str); 2] = [
    // net_pcap verifies no checksums, and l3fwd 22.11 refuses a port that does not.
    (".offloads = RTE_ETH_RX_OFFLOAD_CHECKSUM,", ".offloads = 0,"),
    // The capture in a loop lives in the pool, beside the packets under way.
    ("(unsigned)8192)", "(unsigned)32768)"),
];

/// Builds it into `out`, unless it is there already.
///
/// # Errors
/// Where the source is not installed, is not the source this knows, or does not compile.
pub fn build(out: &Path) -> Result<PathBuf> {
    let program = out.join("l3fwd");
    if program.exists() {
        return Ok(program);
    }
    let source = Path::new(EXAMPLES).join("l3fwd");
    if !source.is_dir() {
        bail!("l3fwd's source is missing: install the package dpdk-doc");
    }
    let copy = out.join("l3fwd-source");
    fs::create_dir_all(&copy).into_diagnostic()?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&source).into_diagnostic()? {
        let path = entry.into_diagnostic()?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let mut text = fs::read_to_string(&path).into_diagnostic().wrap_err(name.to_owned())?;
        if name == "main.c" {
            for (from, to) in CHANGES {
                if !text.contains(from) {
                    bail!("l3fwd's main.c of this DPDK release has no '{from}'");
                }
                text = text.replace(from, to);
            }
        }
        let target = copy.join(name);
        fs::write(&target, text).into_diagnostic()?;
        let is_route_parser = name.ends_with("_route_parse.c");
        if name.ends_with(".c") && !is_route_parser {
            files.push(target.display().to_string());
        }
    }
    let flags = |kind| process::output("pkg-config", &[kind, "libdpdk"]);
    let (cflags, libs) = (flags("--cflags")?, flags("--libs")?);
    let include = format!("-I{EXAMPLES}/common");
    let target = program.display().to_string();
    let mut arguments = vec!["-O3", "-DALLOW_EXPERIMENTAL_API", &include];
    arguments.extend(cflags.split_whitespace());
    // Behind pkg-config's flags, which end with the oldest processor that the distribution supports.
    arguments.push("-march=native");
    arguments.extend(files.iter().map(String::as_str));
    arguments.extend(["-o", &target]);
    arguments.extend(libs.split_whitespace());
    process::output("cc", &arguments)?;
    Ok(program)
}

/// Starts it on a capture, with one route that covers the capture's destinations.
///
/// # Errors
/// Where it does not start.
pub fn start(work: &Path, capture: &Path, prefix_v4: &str) -> Result<Subject> {
    let program = build(work)?;
    let routes = |name: &str, text: String| -> Result<String> {
        let path = work.join(name);
        fs::write(&path, text).into_diagnostic()?;
        Ok(path.display().to_string())
    };
    let v4 = routes("l3fwd.v4", format!("R{prefix_v4} 1\nR198.18.0.0/24 0\n"))?;
    let v6 = routes("l3fwd.v6", "R2001:db8::/32 1\n".to_owned())?;
    let prefix = "rig-l3fwd";
    let mut arguments = vec![program.display().to_string()];
    arguments.extend(eal(&MEASURED_CORE.to_string(), prefix, 128, capture));
    arguments.extend(["--", "-P", "-p", "0x3", "--parse-ptype", "--lookup=lpm"].map(str::to_owned));
    arguments.push(format!("--config=(0,0,{MEASURED_CORE})"));
    arguments.extend([format!("--rule_ipv4={v4}"), format!("--rule_ipv6={v6}")]);
    let process = Process::start(&work.join("l3fwd.log"), &arguments, &[])?;
    Subject::attach("l3fwd", process, prefix, 2, Vec::new())
}
