//! Proa's daemon in the closed loop: `proa run` on a port that replays a capture and discards what it is sent.
//!
//! The daemon learns its next hops' Ethernet addresses as on any wire: each ends the capture with an ARP request
//! to the node.

use crate::capture;
use crate::host::{CONTROL_CORE, MEASURED_CORE};
use crate::peers::replay;
use crate::process::Process;
use crate::subject::Subject;
use miette::{IntoDiagnostic, Result, bail};
use proa_bench::frame::{self, SERVICE_PORT, VIP};
use proa_bench::world::{self, ORIGIN, Role, STREAMS};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// A daemon to start.
pub struct Daemon<'a> {
    /// What the tables call it.
    pub name: &'a str,
    /// What it does.
    pub role: Role,
    /// Copies of each packet.
    pub copies: u8,
    /// The frames that it receives.
    pub frames: &'a [Vec<u8>],
}

impl Daemon<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// Where the daemon is not built, or does not start.
    pub fn start(&self, work: &Path) -> Result<Subject> {
        let program = std::env::current_exe().into_diagnostic()?.with_file_name("proa");
        if !program.exists() {
            bail!("{} is missing: build the package proa-appliance with the same profile", program.display());
        }
        let (node, next_hops) = match self.role {
            Role::Edge => ("edge", &[2, 3][..]),
            Role::Intermediate => ("north", &[4][..]),
            Role::Gateway => bail!("a gateway eliminates the second round of a capture"),
        };
        let directory = work.join(format!("daemon-{node}-{}", self.copies));
        fs::create_dir_all(&directory).into_diagnostic()?;
        let own = world::underlay(self.role.node().0);
        let mut frames = self.frames.to_vec();
        frames.extend(next_hops.iter().map(|hop| frame::arp_request(*hop as u8, world::underlay(*hop), own)));
        let capture = directory.join("frames.pcap");
        capture::write(&capture, &frames)?;

        let prefix = format!("rig-daemon-{node}-{}", self.copies);
        fs::write(directory.join("overlay.toml"), overlay(self.copies)).into_diagnostic()?;
        let config = directory.join("node.toml");
        fs::write(&config, node_file(node, own, &prefix, &capture, &directory)).into_diagnostic()?;
        let arguments = [program.display().to_string(), "run".to_owned(), config.display().to_string()];
        let process = Process::start(&directory.join("log"), &arguments, &[])?;
        Subject::attach_daemon(self.name, process, &directory.join("control.sock"))
    }
}

fn node_file(node: &str, own: Ipv4Addr, prefix: &str, capture: &Path, directory: &Path) -> String {
    let device = replay(capture);
    let socket = directory.join("control.sock").display().to_string();
    format!(
        r#"topology = "overlay.toml"
node = "{node}"

[eal]
memory_mib = 128
file_prefix = "{prefix}"
extra = ["--in-memory", "--no-pci"]

[workers]
cores = [{MEASURED_CORE}]
control_core = {CONTROL_CORE}

[[port]]
name = "loop"
device = "{device}"
addresses = ["{own}/24"]
routes = [{{ to = "0.0.0.0/0", via = "192.0.2.254" }}]

[control]
socket = "{socket}"
"#
    )
}

fn overlay(copies: u8) -> String {
    let mut text = format!("overlay_id = 1\nstreams = {STREAMS}\ndisjoint = \"require\"\n");
    for region in ["west", "north", "south", "east"] {
        text += &format!("\n[[region]]\nname = \"{region}\"\n");
    }
    let nodes = [
        ("edge", "west", "edge"),
        ("north", "north", "intermediate"),
        ("south", "south", "intermediate"),
        ("gateway", "east", "gateway"),
    ];
    for ((name, region, role), id) in nodes.into_iter().zip(1..) {
        let underlay = world::underlay(id);
        let pool = if role == "gateway" { "nat_pool = [\"10.9.16.0\"]\n" } else { "" };
        text += &format!(
            "\n[[node]]\nname = \"{name}\"\nid = {id}\nregion = \"{region}\"\nroles = [\"{role}\"]\nunderlay = [\"{underlay}\"]\n{pool}"
        );
    }
    text += &format!(
        r#"
[[path_set]]
name = "west-east"
edge = "west"
gateway = "east"
paths = [{{ id = 1, via = ["north"] }}, {{ id = 2, via = ["south"] }}]

[[application]]
name = "measured"
vips = [{{ address = "{VIP}", node = "edge" }}]
services = ["udp/{SERVICE_PORT}"]
gateway = "east"
origins = [{{ address = "{ORIGIN}" }}]
copies = {copies}
seal = "none"
"#
    );
    text
}
