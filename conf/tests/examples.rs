//! The example files that operators copy load without an error or a warning.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use overlay::topology::{IpVersion, NodeId};
use proa_conf::key::KeyError;
use proa_conf::{Certificate, Config, Loaded, Poll};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn load(name: &str) -> Loaded {
    match Config::load(examples().join(name)) {
        Ok(loaded) => loaded,
        Err(errors) => panic!("{name}: {errors}"),
    }
}

#[test]
fn every_node_example_loads_without_a_word() {
    let mut seen = 0;
    for entry in std::fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "overlay.toml" {
            let loaded = load(&name);
            assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_edge_example_shows_every_setting_with_its_default() {
    let edge = load("edge-1.toml").config;
    let mid = load("mid-1.toml").config;
    assert_eq!(edge.node, NodeId(1));
    assert_eq!(edge.this_node().unwrap().name, "edge-1");
    assert_eq!(edge.local.limits, mid.local.limits);
    assert_eq!(edge.local.timeouts, mid.local.timeouts);
    assert_eq!(edge.local.eal.memory_mib, mid.local.eal.memory_mib);
    assert_eq!(mid.local.eal.file_prefix, "proa-mid-1");
    assert_eq!(mid.local.control.socket, Path::new("/run/proa/mid-1.sock"));
    assert_eq!(
        (edge.local.workers.burst, edge.local.workers.poll),
        (mid.local.workers.burst, Poll::Adaptive)
    );
    assert_eq!(edge.local.ports[1].vlan, Some(100));
    assert_eq!(edge.local.ports[1].routes.len(), 2);
    assert_eq!(edge.topology, mid.topology);
}

#[test]
fn the_topology_is_what_the_file_says() {
    let topology = load("gateway-1.toml").config.topology;
    assert_eq!((topology.overlay_id, topology.streams), (1, 16));
    assert_eq!(topology.nodes.iter().map(|node| node.workers).collect::<Vec<_>>(), [1, 1, 1, 2]);
    let web = &topology.applications[0];
    assert_eq!((web.copies, web.underlay, web.services.len()), (2, IpVersion::V4, 4));
    let set = topology.path_set(topology.nodes[0].region, web.gateway).unwrap();
    assert_eq!(set.paths.len(), 2);
}

#[test]
fn the_certificate_names_every_path() {
    let certificates = load("edge-1.toml").config.certificates();
    assert!(certificates.iter().all(Certificate::is_disjoint));
    assert_eq!(
        certificates[0].to_string(),
        "path set paris-frankfurt: 2 paths, no intermediate region or shared risk on two of them, cost 33.5 ms\n  \
         path 1: paris > london > frankfurt (11 ms) [channel-tunnel]\n  \
         path 2: paris > madrid > frankfurt (22.5 ms)"
    );
}

#[test]
fn a_private_key_must_be_the_one_that_the_topology_names() {
    let edge = load("edge-1.toml").config;
    assert_eq!((edge.keys.identities.len(), edge.keys.rotation_s), (4, 3600));
    assert_eq!(edge.topology.applications[0].seal, overlay::topology::Seal::Aes256Gcm);
    assert_eq!(edge.keys.file.as_deref(), Some(examples().join("edge-1.key").as_path()));
    // The examples come without private keys.
    assert!(matches!(edge.identity(), Err(KeyError::Unreadable(..))));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.key");
    let options = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
    options.open(&path).unwrap().write_all(proa_conf::key::text(&[7; 32]).as_bytes()).unwrap();
    let mut other = edge.clone();
    other.keys.file = Some(path.clone());
    let Err(KeyError::Other(_, public)) = other.identity() else { panic!("another node's key") };
    other.keys.identities[0].1 = public;
    assert_eq!(other.identity().unwrap().unwrap().public(), public);
    other.keys.file = None;
    assert!(other.identity().unwrap().is_none());
}
