//! `proa check --host`: whether this machine has what the configuration asks for.
//!
//! Everything is read from /proc and /sys; nothing is changed, and DPDK is not started.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use conf::Config;

use crate::eal::is_pci;

/// How a finding is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The node runs, but less well than it could.
    Doubtful,
    /// The node will not start.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// What was found, and what to do about it.
    pub text: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Good => "good:    ",
            Verdict::Doubtful => "doubtful:",
            Verdict::Bad => "bad:     ",
        };
        write!(f, "{mark} {}", self.text)
    }
}

fn good(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Good, text: text.into() }
}

fn doubtful(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Doubtful, text: text.into() }
}

fn bad(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Bad, text: text.into() }
}

/// Looks at the machine whose /proc and /sys are below `root` (`/` but in tests).
pub fn look(config: &Config, root: &Path) -> Vec<Finding> {
    let host = Host { root: root.to_owned() };
    let mut findings = vec![host.hugepages(config), host.cores(config)];
    findings.push(host.isolation(config));
    if config.local.ports.iter().any(|port| is_pci(&port.device)) {
        findings.push(host.iommu());
    }
    for port in &config.local.ports {
        if is_pci(&port.device) {
            findings.extend(host.pci_device(config, port));
        } else if let Some(interface) = interface_of(&port.device) {
            findings.push(host.interface(port, interface));
        }
    }
    findings
}

struct Host {
    root: PathBuf,
}

impl Host {
    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    fn hugepages(&self, config: &Config) -> Finding {
        let wanted = u64::from(config.local.eal.memory_mib);
        if !config.local.eal.hugepages {
            return doubtful("hugepages are switched off: fit for labs and virtual devices only");
        }
        let mut free_mib = 0;
        let mut kinds = Vec::new();
        let sizes = std::fs::read_dir(self.root.join("sys/kernel/mm/hugepages"));
        for entry in sizes.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let size = name.strip_prefix("hugepages-").and_then(|rest| rest.strip_suffix("kB"));
            let kib: u64 = size.and_then(|kib| kib.parse().ok()).unwrap_or(0);
            let path = Path::new("sys/kernel/mm/hugepages").join(&name).join("free_hugepages");
            let free: u64 = self.read(path).and_then(|text| text.parse().ok()).unwrap_or(0);
            free_mib += free * kib / 1024;
            if free > 0 {
                kinds.push(format!("{free} of {} MiB", kib / 1024));
            }
        }
        if free_mib >= wanted {
            return good(format!("{free_mib} MiB of hugepages free ({}), {wanted} wanted", kinds.join(", ")));
        }
        let pages = wanted.div_ceil(2);
        bad(format!(
            "{free_mib} MiB of hugepages free, {wanted} wanted: reserve some with `sysctl vm.nr_hugepages={pages}`, or set \
             eal.memory_mib"
        ))
    }

    fn cores(&self, config: &Config) -> Finding {
        let online =
            self.read("sys/devices/system/cpu/online").map(|list| parse_list(&list)).unwrap_or_default();
        let workers = &config.local.workers;
        let wanted = workers.cores.iter().chain([&workers.control_core]);
        let missing: Vec<String> =
            wanted.filter(|core| !online.contains(core)).map(ToString::to_string).collect();
        match missing.as_slice() {
            [] => good(format!("cores {:?} and {} are online", workers.cores, workers.control_core)),
            _ => bad(format!("core {} is not online: name others in [workers]", missing.join(", "))),
        }
    }

    fn isolation(&self, config: &Config) -> Finding {
        let isolated =
            self.read("sys/devices/system/cpu/isolated").map(|list| parse_list(&list)).unwrap_or_default();
        let shared: Vec<String> = config
            .local
            .workers
            .cores
            .iter()
            .filter(|core| !isolated.contains(core))
            .map(ToString::to_string)
            .collect();
        match shared.as_slice() {
            [] => good("the workers' cores are isolated from other tasks"),
            _ => doubtful(format!(
                "core {} is shared with other tasks: boot with isolcpus={} nohz_full={} for steady latency",
                shared.join(", "),
                shared.join(","),
                shared.join(",")
            )),
        }
    }

    fn iommu(&self) -> Finding {
        let groups = std::fs::read_dir(self.root.join("sys/kernel/iommu_groups")).map_or(0, Iterator::count);
        let unsafe_mode = self.read("sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
        match (groups, unsafe_mode.as_deref()) {
            (0, Some("Y")) => {
                doubtful("no IOMMU; vfio-pci runs in its unsafe mode: a device may write anywhere")
            }
            (0, _) => {
                bad("no IOMMU: boot with intel_iommu=on or amd_iommu=on, and enable it in the firmware")
            }
            (groups, _) => good(format!("the IOMMU is on, {groups} groups")),
        }
    }

    fn pci_device(&self, config: &Config, port: &conf::Port) -> Vec<Finding> {
        let name = port.device.split(',').next().unwrap_or(&port.device);
        let full = if name.matches(':').count() == 1 { format!("0000:{name}") } else { name.to_owned() };
        let path = Path::new("sys/bus/pci/devices").join(&full);
        if !self.root.join(&path).exists() {
            return vec![bad(format!("port {}: there is no PCI device {full}", port.name))];
        }
        let driver = std::fs::read_link(self.root.join(&path).join("driver")).ok();
        let driver =
            driver.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let mut findings = vec![match driver.as_deref() {
            Some("vfio-pci") => good(format!("port {}: {full} is bound to vfio-pci", port.name)),
            // Bifurcated drivers keep their device.
            Some("mlx5_core" | "mlx4_core") => {
                good(format!("port {}: {full} is driven beside the kernel", port.name))
            }
            Some(other) => bad(format!(
                "port {}: {full} is bound to {other}: bind it with `dpdk-devbind.py --bind=vfio-pci {full}`",
                port.name
            )),
            None => bad(format!(
                "port {}: {full} has no driver: bind it with `dpdk-devbind.py --bind=vfio-pci {full}`",
                port.name
            )),
        }];
        let node: i32 = self.read(path.join("numa_node")).and_then(|text| text.parse().ok()).unwrap_or(-1);
        if node >= 0 {
            let list = self.read(format!("sys/devices/system/node/node{node}/cpulist")).unwrap_or_default();
            let near = parse_list(&list);
            let far: Vec<u16> =
                config.local.workers.cores.iter().copied().filter(|core| !near.contains(core)).collect();
            findings.push(match far.as_slice() {
                [] => good(format!("port {}: its NUMA node {node} has all workers' cores", port.name)),
                far => doubtful(format!(
                    "port {}: it is on NUMA node {node}, but cores {far:?} are not: every packet crosses over",
                    port.name
                )),
            });
        }
        findings
    }

    fn interface(&self, port: &conf::Port, interface: &str) -> Finding {
        let path = Path::new("sys/class/net").join(interface).join("mtu");
        match self.read(path).and_then(|text| text.parse::<u32>().ok()) {
            None => bad(format!("port {}: there is no interface {interface}", port.name)),
            Some(mtu) if mtu < u32::from(port.mtu_bytes) => bad(format!(
                "port {}: {interface} has an MTU of {mtu}, the configuration {}: make them equal",
                port.name, port.mtu_bytes
            )),
            Some(mtu) => good(format!("port {}: {interface} has an MTU of {mtu}", port.name)),
        }
    }
}

/// The kernel interface that a virtual device uses, if it does.
fn interface_of(device: &str) -> Option<&str> {
    let uses_one = device.starts_with("net_af_packet") || device.starts_with("net_af_xdp");
    device.split(',').find_map(|argument| argument.strip_prefix("iface=")).filter(|_| uses_one)
}

/// A kernel list of numbers, as in `0-3,8`.
fn parse_list(text: &str) -> Vec<u16> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u16>(), last.trim().parse()) {
            numbers.extend(first..=last);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_lists_are_read() {
        assert_eq!(parse_list("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_list(""), [0u16; 0]);
        assert_eq!(parse_list("x"), [0u16; 0]);
    }

    #[test]
    fn virtual_devices_name_their_interface() {
        assert_eq!(interface_of("net_af_packet0,iface=wan0,qpairs=1"), Some("wan0"));
        assert_eq!(interface_of("net_null0"), None);
        assert_eq!(interface_of("net_pcap0,iface=x"), None);
    }

    #[test]
    fn a_bare_machine_is_found_wanting_and_a_prepared_one_good() {
        let loaded = Config::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/examples/edge-1.toml"));
        let config = loaded.unwrap().config;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let bare = look(&config, root);
        assert!(bare.iter().filter(|finding| finding.verdict == Verdict::Bad).count() >= 4, "{bare:?}");

        let put = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512\n");
        put("sys/devices/system/cpu/online", "0-7\n");
        put("sys/devices/system/cpu/isolated", "1-7\n");
        put("sys/kernel/iommu_groups/0/type", "DMA\n");
        put("sys/devices/system/node/node0/cpulist", "0-7\n");
        for port in &config.local.ports {
            let path = format!("sys/bus/pci/devices/{}", port.device);
            put(&format!("{path}/numa_node"), "0\n");
            std::os::unix::fs::symlink("/drivers/vfio-pci", root.join(path).join("driver")).unwrap();
        }
        let prepared = look(&config, root);
        assert!(prepared.iter().all(|finding| finding.verdict == Verdict::Good), "{prepared:?}");
    }
}
