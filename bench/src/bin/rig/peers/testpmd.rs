//! testpmd in `io` mode: the cost of the closed loop itself.

use crate::host::{CONTROL_CORE, MEASURED_CORE};
use crate::peers::eal;
use crate::process::Process;
use crate::subject::Subject;
use miette::Result;
use std::path::Path;

/// Starts it on a capture.
///
/// # Errors
/// Where it is not installed or does not start.
pub fn start(work: &Path, capture: &Path) -> Result<Subject> {
    let prefix = "rig-testpmd";
    let mut arguments = vec!["dpdk-testpmd".to_owned(), format!("--main-lcore={CONTROL_CORE}")];
    arguments.extend(eal(&format!("{CONTROL_CORE},{MEASURED_CORE}"), prefix, 128, capture));
    arguments.extend(
        [
            "--",
            "--forward-mode=io",
            "--nb-cores=1",
            "--auto-start",
            "--no-flush-rx",
            "--total-num-mbufs=32768",
        ]
        .map(str::to_owned),
    );
    let process = Process::start(&work.join("testpmd.log"), &arguments, &[])?;
    Subject::attach("testpmd io", process, prefix, 2, Vec::new())
}
