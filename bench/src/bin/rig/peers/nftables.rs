//! The kernel's own gateway: connection tracking, destination and source translation by nftables, forwarding.
//!
//! ```text
//!   source ── in │ router: DNAT, forward, SNAT │ out ── sink, drops at ingress
//! ```
//! Three namespaces joined by pairs of veth. Everything happens on the sender's core: within its system call, a
//! frame goes all the way to the sink.

use crate::capture;
use crate::host::{CONTROL_CORE, MEASURED_CORE};
use crate::namespace::Namespace;
use crate::process::Process;
use crate::subject::Subject;
use miette::{IntoDiagnostic, Result, WrapErr, bail, miette};
use proa_bench::frame::{self, SERVICE_PORT, VIP};
use proa_bench::world::ORIGIN;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The addresses that sources are translated to, as for Open vSwitch.
const POOL: &str = "10.9.0.100-10.9.0.103";
/// How long opening and answering all connections may take.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// Packets that namespaces send of themselves while they are set up.
const NOISE_MAX: u64 = 64;

/// Starts the translation of a capture's flows, all of them established.
///
/// # Errors
/// Where the kernel lacks something, or does not translate all packets of all flows.
pub fn start(work: &Path, capture: &Path, flows: u32) -> Result<Subject> {
    let directory = work.join("nftables");
    let source = Namespace::create(&directory.join("source"))?;
    let router = Namespace::create(&directory.join("router"))?;
    let sink = Namespace::create(&directory.join("sink"))?;
    join(&source, "src", &router, "in")?;
    join(&sink, "sink", &router, "out")?;
    translate(&router)?;
    make_room(flows)?;
    sink.load(&format!(
        "table netdev rig {{
  counter translated {{ }}
  chain ingress {{
    type filter hook ingress device sink priority 0; policy drop;
    ip saddr {POOL} ip daddr {ORIGIN} udp dport {SERVICE_PORT} counter name translated
  }}
}}
"
    ))?;
    let mut sender = send(&source, &directory, "src", capture, MEASURED_CORE)?;
    establish(&router, &sink, &mut sender, &directory, flows)?;
    verify(&router, &sink, &mut sender, flows)?;
    // Verified: from here on the sink only drops, and costs no more than the baseline's does.
    sink.run("nft flush chain netdev rig ingress")?;
    sender.proceed()?;
    let (received, sent) = (router.device("in"), sink.device("sink"));
    let helpers = [source, router, sink].map(Namespace::into_holder).into();
    Subject::attach_kernel("nftables DNAT + SNAT", sender, received, sent, helpers)
}

/// Starts the same sender on a veth whose other end drops: what sending costs.
///
/// # Errors
/// Where the kernel lacks something.
pub fn source(work: &Path, capture: &Path) -> Result<Subject> {
    let directory = work.join("nftables-source");
    let source = Namespace::create(&directory.join("source"))?;
    let sink = Namespace::create(&directory.join("sink"))?;
    join(&source, "src", &sink, "in")?;
    sink.load(
        "table netdev rig {
  chain ingress {
    type filter hook ingress device in priority 0; policy drop;
  }
}
",
    )?;
    let sender = send(&source, &directory, "src", capture, MEASURED_CORE)?;
    let (received, sent) = (sink.device("in"), sink.device("in"));
    let helpers = [source, sink].map(Namespace::into_holder).into();
    Subject::attach_kernel("nftables source", sender, received, sent, helpers)
}

/// A pair of veth; the far end has the address that the frames go to.
fn join(near: &Namespace, near_name: &str, far: &Namespace, far_name: &str) -> Result<()> {
    let mac = frame::PORT_MAC.map(|byte| format!("{byte:02x}")).join(":");
    let pid = far.pid();
    near.run(&format!("ip link add {near_name} type veth peer name {far_name} address {mac} netns {pid}"))?;
    near.run(&format!("ip link set {near_name} up"))?;
    far.run(&format!("ip link set {far_name} up")).map(drop)
}

fn translate(router: &Namespace) -> Result<()> {
    let station = "02:00:00:00:00:01";
    for command in [
        "ip addr add 192.0.2.1/24 dev in".to_owned(),
        "ip addr add 10.9.0.1/24 dev out".to_owned(),
        format!("ip neigh add 192.0.2.2 lladdr {station} nud permanent dev in"),
        format!("ip neigh add {ORIGIN} lladdr {station} nud permanent dev out"),
        "ip route add 10.64.0.0/10 via 192.0.2.2 dev in".to_owned(),
        "sysctl -qw net.ipv4.ip_forward=1".to_owned(),
    ] {
        router.run(&command)?;
    }
    router.load(&format!(
        "table ip rig {{
  chain before {{
    type nat hook prerouting priority dstnat;
    ip daddr {VIP} udp dport {SERVICE_PORT} dnat to {ORIGIN}
  }}
  chain behind {{
    type nat hook postrouting priority srcnat;
    oifname \"out\" snat to {POOL}
  }}
}}
"
    ))?;
    // Connections must outlive the pauses between windows; a NIC would have verified the checksums.
    for setting in ["udp_timeout=7200", "udp_timeout_stream=7200", "checksum=0"] {
        router.run(&format!("sysctl -qw net.netfilter.nf_conntrack_{setting}"))?;
    }
    Ok(())
}

/// The table of connections is the whole machine's: it must have a bucket and an entry for two flows of each one.
fn make_room(flows: u32) -> Result<()> {
    for name in ["nf_conntrack_buckets", "nf_conntrack_max"] {
        let path = format!("/proc/sys/net/netfilter/{name}");
        let text = fs::read_to_string(&path).into_diagnostic().wrap_err_with(|| path.clone())?;
        if text.trim().parse::<u32>().into_diagnostic()? < 2 * flows {
            fs::write(&path, (2 * flows).to_string()).into_diagnostic().wrap_err(path)?;
        }
    }
    Ok(())
}

fn send(from: &Namespace, directory: &Path, device: &str, capture: &Path, core: usize) -> Result<Process> {
    let mut arguments = from.enter().to_vec();
    arguments.push(std::env::current_exe().into_diagnostic()?.display().to_string());
    arguments.push("send".to_owned());
    let capture = capture.display();
    arguments.extend([
        format!("--capture={capture}"),
        format!("--device={device}"),
        format!("--core={core}"),
    ]);
    Process::start(&directory.join(format!("{device}.log")), &arguments, &[])
}

/// Opens all connections, pauses the sender, and answers each connection until the kernel has seen the answer.
fn establish(
    router: &Namespace,
    sink: &Namespace,
    sender: &mut Process,
    directory: &Path,
    flows: u32,
) -> Result<()> {
    sender.wait_for("all connections", OPEN_LIMIT, || {
        let count = router.run("sysctl -n net.netfilter.nf_conntrack_count").ok()?;
        (count.trim().parse::<u32>().ok()? >= flows).then_some(())
    })?;
    sender.pause()?;
    let replies: Vec<Vec<u8>> = connections(router)?
        .iter()
        .map(|connection| frame::udp_frame((ORIGIN, SERVICE_PORT), connection.outside, 60))
        .collect();
    let path = directory.join("replies.pcap");
    capture::write(&path, &replies)?;
    let mut answering = send(sink, directory, "sink", &path, CONTROL_CORE)?;
    let start = Instant::now();
    loop {
        answering.check()?;
        let waiting = connections(router)?.iter().filter(|connection| !connection.is_answered).count();
        if waiting == 0 {
            return Ok(());
        }
        if start.elapsed() > OPEN_LIMIT {
            bail!("the kernel saw no answer to {waiting} of {} connections", replies.len());
        }
        sleep(Duration::from_millis(200));
    }
}

/// Lets established packets pass and holds the counters against each other: what came to the router left it, and
/// all that left it was translated.
fn verify(router: &Namespace, sink: &Namespace, sender: &mut Process, flows: u32) -> Result<()> {
    let counts = || -> Result<[u64; 3]> {
        let listing = sink.run("nft list counter netdev rig translated")?;
        let translated = listing.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        let translated = translated.and_then(|count| count.parse().ok());
        let translated = translated.ok_or_else(|| miette!("nft says '{listing}'"))?;
        Ok([router.device("in").packets()?, sink.device("sink").packets()?, translated])
    };
    let before = counts()?;
    sender.proceed()?;
    sleep(Duration::from_millis(500));
    sender.pause()?;
    // A signal lets the system call under way come to its end.
    sleep(Duration::from_millis(50));
    let after = counts()?;
    let [received, delivered, translated] = [0, 1, 2].map(|index| after[index] - before[index]);
    let is_even = received.abs_diff(delivered) <= NOISE_MAX && delivered.abs_diff(translated) <= NOISE_MAX;
    if !is_even || translated < u64::from(flows) {
        bail!("of {received} packets {delivered} were delivered and {translated} translated");
    }
    let connections = connections(router)?;
    let answered = connections.iter().filter(|connection| connection.is_answered).count();
    if connections.len() != flows as usize || answered != connections.len() {
        bail!("{answered} of {} connections are established; {flows} are due", connections.len());
    }
    Ok(())
}

/// A tracked connection.
struct Connection {
    /// The address and port that its replies go to.
    outside: (Ipv4Addr, u16),
    /// Whether one was seen, so that the connection counts as established.
    is_answered: bool,
}

fn connections(router: &Namespace) -> Result<Vec<Connection>> {
    let table = router.read("nf_conntrack")?;
    table
        .lines()
        .filter(|line| line.contains("udp") && line.contains(&VIP.to_string()))
        .map(connection)
        .collect()
}

fn connection(line: &str) -> Result<Connection> {
    // The original direction stands first, the replies' behind it.
    let last = |name: &str| line.split_whitespace().filter_map(|word| word.strip_prefix(name)).next_back();
    let outside = last("dst=")
        .zip(last("dport="))
        .and_then(|(address, port)| Some((address.parse().ok()?, port.parse().ok()?)))
        .ok_or_else(|| miette!("a tracked connection without its reply: {line}"))?;
    Ok(Connection { outside, is_answered: !line.contains("[UNREPLIED]") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_read_from_its_second_direction() {
        let line = "ipv4 2 udp 17 29 src=10.64.0.1 dst=203.0.113.10 sport=1024 dport=443 [UNREPLIED] \
                    src=10.9.0.2 dst=10.9.0.101 sport=443 dport=5013 mark=0 zone=0 use=2";
        let found = connection(line).unwrap();
        assert_eq!(found.outside, (Ipv4Addr::new(10, 9, 0, 101), 5_013));
        assert!(!found.is_answered);
        assert!(connection(&line.replace("[UNREPLIED] ", "")).unwrap().is_answered);
        assert!(connection("ipv4 2 udp 17 29").is_err());
    }
}
