//! DPDK out of the configuration: the environment, the pool of buffers, the ports with their queues.

use conf::{Config, Local};
use dpdk::{Device, Eal, Error, Mempool, PoolConfig, Port, PortConfig, RssKey, RxQueue, TxQueue};
use overlay::topology::Node;
use packet::Mac;

/// Bytes of an Ethernet header, two tags and the check sequence.
const FRAME_OVERHEAD: u16 = 26;
/// Bytes that a buffer has behind its headroom at least.
const DATA_ROOM_MIN: u16 = 2048;

/// The EAL's arguments.
pub fn arguments(local: &Local) -> Vec<String> {
    let eal = &local.eal;
    let mut arguments = vec![
        // The control thread is DPDK's only lcore; workers are threads of our own, known to DPDK.
        format!("--lcores=0@{}", local.workers.control_core),
        format!("--file-prefix={}", eal.file_prefix),
        "-m".to_owned(),
        eal.memory_mib.to_string(),
        // Nobody asks DPDK's own telemetry socket; there is `proactl` and /metrics.
        "--no-telemetry".to_owned(),
    ];
    // Hugepages without files: that needs no mounted hugetlbfs, and a killed node leaves no pages behind. DPDK does not
    // allow it together with --no-huge.
    arguments.push(if eal.hugepages { "--in-memory" } else { "--no-huge" }.to_owned());
    let pci: Vec<&str> =
        local.ports.iter().map(|port| port.device.as_str()).filter(|device| is_pci(device)).collect();
    match pci.as_slice() {
        [] => arguments.push("--no-pci".to_owned()),
        devices => devices.iter().for_each(|device| arguments.push(format!("--allow={device}"))),
    }
    arguments.extend(eal.extra.iter().cloned());
    arguments
}

/// Whether a device is named by PCI address, as in `0000:3b:00.0`.
pub fn is_pci(device: &str) -> bool {
    let name = device.split(',').next().unwrap_or(device);
    let parts: Vec<&str> = name.split([':', '.']).collect();
    let is_hex = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(parts.len(), 3 | 4) && name.contains('.') && parts.iter().all(is_hex)
}

/// A port that runs, and the queues of its workers.
pub struct Started {
    /// Its control side.
    pub port: Port,
    /// Receive queues: one per worker, or fewer where the device has no more.
    pub rx: Vec<RxQueue>,
    /// Transmit queues, one per worker.
    pub tx: Vec<TxQueue>,
}

/// Allocates the node's pool of buffers, large enough for a frame of the largest MTU each.
///
/// # Errors
/// DPDK's.
pub fn pool(eal: &Eal, local: &Local) -> Result<Mempool, Error> {
    let mtu = local.ports.iter().map(|port| port.mtu_bytes).max().unwrap_or(0);
    // Whole cache lines, so that headers of all buffers are aligned alike.
    let data_room = (mtu + FRAME_OVERHEAD).next_multiple_of(64).max(DATA_ROOM_MIN);
    let socket = local.workers.cores.first().and_then(|core| dpdk::socket_of_core(*core as usize));
    Mempool::new(
        eal,
        &PoolConfig { capacity: local.limits.buffers, data_room, socket, ..PoolConfig::default() },
    )
}

/// Finds, configures and starts all ports, in the order of the configuration.
///
/// # Errors
/// DPDK's about the first port that does not start.
pub fn start_ports(eal: &Eal, config: &Config, node: &Node, pool: &Mempool) -> Result<Vec<Started>, Error> {
    let workers = config.local.workers.cores.len() as u16;
    let rss_key = node.rss.as_ref().map(|rss| RssKey::new(&rss.key));
    let mut started = Vec::new();
    for settings in &config.local.ports {
        let device = Device::find(eal, &settings.device)?;
        // With fewer queues than workers, some workers poll none, and get their packets handed over.
        let rx_queues = workers.min(device.info().rx_queues_max).max(1);
        let port_config = PortConfig {
            rx_queues,
            tx_queues: workers,
            mtu: settings.mtu_bytes,
            rss_key: rss_key.clone().filter(|_| rx_queues > 1),
            ..PortConfig::default()
        };
        let (port, rx, tx) = device.start(&port_config, pool)?;
        started.push(Started { port, rx, tx });
    }
    Ok(started)
}

/// The ports' Ethernet addresses.
pub fn macs(started: &[Started]) -> Vec<Mac> {
    started.iter().map(|port| port.port.info().mac).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_configuration() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/examples/edge-1.toml");
        let mut local = conf::Config::load(file).unwrap().config.local;
        let has = |local: &Local, wanted: &str| arguments(local).iter().any(|argument| argument == wanted);
        assert!(
            has(&local, "--in-memory") && !has(&local, "--no-huge") && has(&local, "--allow=0000:3b:00.0")
        );
        local.eal.hugepages = false;
        local.ports.iter_mut().for_each(|port| port.device = "net_null0".to_owned());
        assert!(!has(&local, "--in-memory") && has(&local, "--no-huge") && has(&local, "--no-pci"));
    }

    #[test]
    fn pci_addresses_are_told_from_virtual_devices() {
        for device in ["0000:3b:00.0", "3b:00.1", "0000:3b:00.0,dev_arg=1"] {
            assert!(is_pci(device), "{device}");
        }
        for device in ["net_af_packet0,iface=wan0", "net_null0", "net_pcap0,rx_pcap=a:b.c", ""] {
            assert!(!is_pci(device), "{device}");
        }
    }
}
