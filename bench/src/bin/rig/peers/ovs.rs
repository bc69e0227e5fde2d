//! Open vSwitch on DPDK: forwarding, VXLAN encapsulation, and source NAT of established connections.
//!
//! Each instance has its own database and its own network namespace, and one poll-mode thread on the
//! measured core.

use crate::capture;
use crate::host::{CONTROL_CORE, MEASURED_CORE};
use crate::peers::{DISCARD, replay};
use crate::process::{self, Process};
use crate::subject::Subject;
use miette::{IntoDiagnostic, Result, bail, miette};
use proa_bench::frame;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What it does with the capture's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// In here, out there.
    Forward,
    /// Into a VXLAN tunnel.
    Vxlan,
    /// Connection tracking, with the source translated, every connection having seen a reply.
    Snat,
}

impl Job {
    /// What the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Job::Forward => "OVS forward",
            Job::Vxlan => "OVS VXLAN encap",
            Job::Snat => "OVS conntrack SNAT",
        }
    }
}

const DAEMON: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// Memory: enough for a pool that holds the largest capture.
const MEMORY_MIB: u32 = 256;

/// Starts it on a capture.
///
/// # Errors
/// Where it is not installed, does not start, or does not do its job.
pub fn start(work: &Path, job: Job, capture: &Path, flows: u32) -> Result<Subject> {
    if !Path::new(DAEMON).exists() {
        bail!("Open vSwitch on DPDK is missing: install the package openvswitch-switch-dpdk");
    }
    let instance = Instance::create(work, job)?;
    let database = instance.start_database()?;
    let mut daemon = instance.start_daemon()?;
    daemon.wait_for("ovs-vswitchd", Duration::from_secs(30), || {
        instance.control(&["version"]).ok().filter(|_| instance.directory.join("vswitchd.ctl").exists())
    })?;
    instance.vsctl(&["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"])?;
    instance.add_device("br0", "in", &replay(capture))?;
    match job {
        Job::Forward => {
            instance.add_device("br0", "out", DISCARD)?;
            instance.flows(&["in_port=in,actions=output:out"])?;
        }
        Job::Vxlan => instance.tunnel(&daemon)?,
        Job::Snat => {
            instance.add_device("br0", "out", DISCARD)?;
            instance.snat(flows)?;
        }
    }
    Subject::attach(job.name(), daemon, &instance.prefix, 2, vec![database])
}

struct Instance {
    directory: PathBuf,
    prefix: String,
}

impl Instance {
    fn create(work: &Path, job: Job) -> Result<Instance> {
        let name = format!("ovs-{job:?}").to_lowercase();
        let directory = work.join(&name);
        if directory.exists() {
            fs::remove_dir_all(&directory).into_diagnostic()?;
        }
        fs::create_dir_all(&directory).into_diagnostic()?;
        let database = directory.join("conf.db").display().to_string();
        process::output("ovsdb-tool", &["create", &database, SCHEMA])?;
        Ok(Instance { directory, prefix: format!("rig-{name}") })
    }

    fn start_database(&self) -> Result<Process> {
        let at = |file: &str| self.directory.join(file).display().to_string();
        let arguments = [
            "ovsdb-server".to_owned(),
            at("conf.db"),
            format!("--remote=punix:{}", at("db.sock")),
            format!("--unixctl={}", at("db.ctl")),
        ];
        let mut process = Process::start(&self.directory.join("ovsdb.log"), &arguments, &self.environment())?;
        let socket = self.directory.join("db.sock");
        process.wait_for("ovsdb-server", Duration::from_secs(10), || socket.exists().then_some(()))?;
        let extra = format!("--in-memory --no-pci --file-prefix={}", self.prefix);
        self.vsctl(&["--no-wait", "init"])?;
        self.vsctl(&[
            "--no-wait",
            "set",
            "Open_vSwitch",
            ".",
            "other_config:dpdk-init=true",
            &format!("other_config:dpdk-lcore-mask={:#x}", 1 << CONTROL_CORE),
            &format!("other_config:pmd-cpu-mask={:#x}", 1 << MEASURED_CORE),
            &format!("other_config:dpdk-socket-mem={MEMORY_MIB}"),
            &format!("other_config:dpdk-extra=\"{extra}\""),
        ])?;
        Ok(process)
    }

    fn start_daemon(&self) -> Result<Process> {
        let at = |file: &str| self.directory.join(file).display().to_string();
        let arguments = [
            "unshare".to_owned(),
            "--net".to_owned(),
            DAEMON.to_owned(),
            format!("unix:{}", at("db.sock")),
            format!("--unixctl={}", at("vswitchd.ctl")),
        ];
        Process::start(&self.directory.join("vswitchd.log"), &arguments, &self.environment())
    }

    fn environment(&self) -> [(&'static str, &Path); 4] {
        ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"]
            .map(|name| (name, self.directory.as_path()))
    }

    fn vsctl(&self, arguments: &[&str]) -> Result<String> {
        let database = format!("--db=unix:{}", self.directory.join("db.sock").display());
        let mut all = vec![database.as_str(), "--timeout=30"];
        all.extend(arguments);
        process::output("ovs-vsctl", &all)
    }

    fn control(&self, arguments: &[&str]) -> Result<String> {
        let socket = self.directory.join("vswitchd.ctl").display().to_string();
        let mut all = vec!["--timeout=10", "-t", socket.as_str()];
        all.extend(arguments);
        process::output("ovs-appctl", &all)
    }

    fn add_device(&self, bridge: &str, port: &str, device: &str) -> Result<()> {
        let device = format!("options:dpdk-devargs={device}");
        self.vsctl(&["add-port", bridge, port, "--", "set", "Interface", port, "type=dpdk", &device])?;
        let error = self.vsctl(&["get", "Interface", port, "error"])?;
        if error.trim() != "[]" {
            bail!("Open vSwitch refuses {device}: {}", error.trim());
        }
        Ok(())
    }

    fn flows(&self, flows: &[&str]) -> Result<()> {
        let bridge = format!("unix:{}", self.directory.join("br0.mgmt").display());
        process::output("ovs-ofctl", &["del-flows", &bridge])?;
        for flow in flows {
            process::output("ovs-ofctl", &["add-flow", &bridge, flow])?;
        }
        Ok(())
    }

    /// A second bridge holds the underlay: its address and the remote end's station are given, not learned.
    fn tunnel(&self, daemon: &Process) -> Result<()> {
        self.vsctl(&["add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=netdev"])?;
        self.add_device("br1", "out", DISCARD)?;
        let pid = daemon.pid().as_raw_nonzero().to_string();
        for command in ["addr add 172.31.0.1/24 dev br1", "link set br1 up"] {
            let mut arguments = vec!["-t", &pid, "-n", "ip"];
            arguments.extend(command.split(' '));
            process::output("nsenter", &arguments)?;
        }
        self.control(&["tnl/arp/set", "br1", "172.31.0.2", "02:00:00:00:00:02"])?;
        let options = ["type=vxlan", "options:remote_ip=172.31.0.2", "options:key=1"];
        let mut add = vec!["add-port", "br0", "tunnel", "--", "set", "Interface", "tunnel"];
        add.extend(options);
        self.vsctl(&add)?;
        self.flows(&["in_port=in,actions=output:tunnel"])
    }

    /// A UDP connection counts as established once a reply was seen: the replies to all connections come
    /// once, out of a second capture, through a port that is removed again.
    fn snat(&self, flows: u32) -> Result<()> {
        let timeouts = ["udp_first=3600", "udp_single=3600", "udp_multiple=3600"];
        let mut policy = vec!["add-zone-tp", "netdev", "zone=1"];
        policy.extend(timeouts);
        self.vsctl(&[
            "--",
            "--id=@dp",
            "create",
            "Datapath",
            "datapath_version=0",
            "--",
            "set",
            "Open_vSwitch",
            ".",
            "datapaths:netdev=@dp",
        ])?;
        self.vsctl(&policy)?;
        self.flows(&[
            "table=0,in_port=in,udp,ct_state=-trk,actions=ct(table=1,zone=1,nat)",
            "table=0,priority=1,udp,ct_state=-trk,actions=ct(table=2,zone=1,nat)",
            "table=1,udp,ct_state=+trk+new,actions=ct(commit,zone=1,nat(src=10.9.0.100-10.9.0.103:1024-65535)),output:out",
            "table=1,udp,ct_state=+trk+est,actions=output:out",
            "table=2,actions=drop",
        ])?;
        let start = Instant::now();
        let connections = loop {
            let connections = self.connections()?;
            if connections.len() >= flows as usize {
                break connections;
            }
            if start.elapsed() > Duration::from_secs(60) {
                bail!("Open vSwitch tracks {} of {flows} connections", connections.len());
            }
            sleep(Duration::from_millis(200));
        };
        let replies: Vec<Vec<u8>> = connections
            .iter()
            .map(|outside| frame::udp_frame((frame::VIP, frame::SERVICE_PORT), *outside, 60))
            .collect();
        let path = self.directory.join("replies.pcap");
        capture::write(&path, &replies)?;
        self.add_device("br0", "replies", &format!("net_pcap1,rx_pcap={}", path.display()))?;
        sleep(Duration::from_secs(2));
        self.vsctl(&["del-port", "br0", "replies"])?;
        Ok(())
    }

    /// The address and port that each connection's replies go to.
    fn connections(&self) -> Result<Vec<(Ipv4Addr, u16)>> {
        let dump = self.control(&["dpctl/dump-conntrack"])?;
        dump.lines()
            .filter_map(|line| line.split_once("reply=(")?.1.split_once(')'))
            .map(|(reply, _)| {
                let field = |name| reply.split(',').find_map(|field| field.strip_prefix(name));
                let parsed = field("dst=")
                    .zip(field("dport="))
                    .and_then(|(address, port)| Some((address.parse().ok()?, port.parse().ok()?)));
                parsed.ok_or_else(|| miette!("a tracked connection without its reply: {reply}"))
            })
            .collect()
    }
}
