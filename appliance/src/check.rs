//! `proa check`: everything wrong with a configuration, or what it says.

use std::fmt::Write;

use conf::Loaded;
use overlay::topology::Seal;

/// What a sound configuration says, in lines for people.
pub fn summary(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let topology = &config.topology;
    let mut text = String::new();
    if let Some(node) = config.this_node() {
        let region = topology.region(node.region).map_or("", |region| region.name.as_str());
        let roles: Vec<&str> = [
            ("edge", node.roles.edge),
            ("intermediate", node.roles.intermediate),
            ("gateway", node.roles.gateway),
        ]
        .iter()
        .filter(|(_, has)| *has)
        .map(|(name, _)| *name)
        .collect();
        let _ = writeln!(text, "node {} ({}) in {region}: {}", node.name, node.id.0, roles.join(", "));
    }
    let workers = &config.local.workers;
    let _ = writeln!(text, "workers on cores {:?}, control on core {}", workers.cores, workers.control_core);
    for port in &config.local.ports {
        let addresses: Vec<String> = port.addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "port {}: {}, MTU {}, {}",
            port.name,
            port.device,
            port.mtu_bytes,
            addresses.join(", ")
        );
    }
    let _ = writeln!(
        text,
        "overlay {}: {} regions, {} nodes, {} applications",
        topology.overlay_id,
        topology.regions.len(),
        topology.nodes.len(),
        topology.applications.len()
    );
    for application in &topology.applications {
        let carried = match application.seal {
            Seal::Aes256Gcm => format!("AES-256-GCM, a new key every {} s", config.keys.rotation_s),
            Seal::None => "not sealed: whoever is on its paths can read and change it".to_owned(),
        };
        let _ = writeln!(text, "application {}: {carried}", application.name);
    }
    for certificate in config.certificates() {
        let _ = writeln!(text, "{certificate}");
    }
    text
}
