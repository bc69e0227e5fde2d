//! The forwarders that Proa is measured beside: each takes a capture in a loop and sends to a port that discards.

pub mod l3fwd;
pub mod nftables;
pub mod ovs;
pub mod testpmd;

use std::path::Path;

/// The device that replays a capture for ever.
pub fn replay(capture: &Path) -> String {
    format!("net_pcap0,rx_pcap={},infinite_rx=1", capture.display())
}

/// The device that discards what it is sent.
pub const DISCARD: &str = "net_null0,no-rx=1";

/// EAL arguments that all of the DPDK programs share: their own memory, no real devices.
pub fn eal(cores: &str, file_prefix: &str, memory_mib: u32, capture: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ["-l", cores, "--in-memory", "--no-pci", "--file-prefix", file_prefix]
        .into_iter()
        .map(str::to_owned)
        .collect();
    arguments.extend(["-m".to_owned(), memory_mib.to_string()]);
    arguments.extend([format!("--vdev={}", replay(capture)), format!("--vdev={DISCARD}")]);
    arguments
}
