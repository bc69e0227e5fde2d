//! The machine: what the rig needs of it, and what the report says about it.

use miette::{IntoDiagnostic, Result, WrapErr, bail, miette};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;

/// Every forwarder's worker runs here, everything else on the others.
pub const MEASURED_CORE: usize = 1;
/// Where control threads run.
pub const CONTROL_CORE: usize = 0;

const HUGEPAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// What the figures were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// The processor's name.
    pub processor: String,
    /// Cores online.
    pub cores: usize,
    /// Rate of the time stamp counter, which all cycles per packet refer to.
    pub tsc_hz: f64,
    /// DPDK's version.
    pub dpdk: String,
    /// The kernel's release.
    pub kernel: String,
    /// What the kernel does against flaws of the processor: its network paths pay for it, DPDK does not.
    pub mitigations: BTreeMap<String, String>,
}

/// Reads the machine's description.
///
/// # Errors
/// Where `/proc` is unreadable or DPDK's pkg-config file is missing.
pub fn describe() -> Result<Host> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").into_diagnostic()?;
    let field = |name: &str| {
        cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(str::trim))
            .map(str::to_owned)
            .ok_or_else(|| miette!("/proc/cpuinfo has no '{name}'"))
    };
    // Twice the loops per jiffy is how the kernel shows the calibrated rate of a constant counter.
    let bogomips: f64 = field("bogomips")?.parse().into_diagnostic()?;
    Ok(Host {
        processor: field("model name")?,
        cores: std::thread::available_parallelism().into_diagnostic()?.get(),
        tsc_hz: bogomips / 2.0 * 1e6,
        dpdk: crate::process::output("pkg-config", &["--modversion", "libdpdk"])?.trim().to_owned(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").into_diagnostic()?.trim().to_owned(),
        mitigations: mitigations(),
    })
}

/// The flaws that this processor has, and what is done about each; empty where the kernel does not say.
fn mitigations() -> BTreeMap<String, String> {
    let flaws = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten().flatten();
    flaws
        .filter_map(|flaw| {
            let said = fs::read_to_string(flaw.path()).ok()?.trim().to_owned();
            (said != "Not affected").then(|| (flaw.file_name().to_string_lossy().into_owned(), said))
        })
        .collect()
}

/// Makes sure that the rig can run here: root, two cores, enough free hugepages.
///
/// # Errors
/// One sentence that says what is missing.
pub fn prepare(hugepages_free: usize) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the rig reserves hugepages and pins threads: run it as root");
    }
    let cores = std::thread::available_parallelism().into_diagnostic()?.get();
    if cores <= MEASURED_CORE {
        bail!("the rig needs two cores, one of them to itself; this machine offers {cores}");
    }
    let read = |file: &str| -> Result<usize> {
        let path = format!("{HUGEPAGES}/{file}");
        let text = fs::read_to_string(&path).into_diagnostic().wrap_err(path)?;
        text.trim().parse().into_diagnostic()
    };
    let missing = hugepages_free.saturating_sub(read("free_hugepages")?);
    if missing > 0 {
        let wanted = read("nr_hugepages")? + missing;
        let path = format!("{HUGEPAGES}/nr_hugepages");
        fs::write(&path, wanted.to_string()).into_diagnostic().wrap_err(path)?;
    }
    let free = read("free_hugepages")?;
    if free < hugepages_free {
        bail!("only {free} of {hugepages_free} free hugepages of 2 MiB could be reserved: free some memory");
    }
    Ok(())
}
