//! A thousand nodes in step with one server. Prints how long it takes, and what it costs; run it by
//! `cargo test --profile test-release -p proa-server --test thousand -- --ignored --nocapture`.

#![allow(clippy::panic, clippy::unwrap_used)] // a failed unwrap here is a failed test

mod common;

use std::fmt::Write;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Server, hello, server};
use overlay::sync::report::{Link, Path, Report};
use overlay::sync::{ToNode, ToServer};

const EDGE_REGIONS: usize = 10;
const MIDDLE_REGIONS: usize = 35;
const GATEWAY_REGIONS: usize = 5;
const PER_REGION: usize = 20;
const NODES: usize = (EDGE_REGIONS + MIDDLE_REGIONS + GATEWAY_REGIONS) * PER_REGION;
const APPLICATIONS: usize = 50;

/// Fifty regions of twenty nodes, a path set of two paths between each edge and each gateway region.
fn definition(copies: u8) -> String {
    let mut text = "overlay_id = 1\n".to_owned();
    let role = |region: usize| match region {
        _ if region < EDGE_REGIONS => "edge",
        _ if region < EDGE_REGIONS + MIDDLE_REGIONS => "intermediate",
        _ => "gateway",
    };
    for region in 0..EDGE_REGIONS + MIDDLE_REGIONS + GATEWAY_REGIONS {
        writeln!(text, "[[region]]\nname = \"r{region}\"").unwrap();
        for at in 0..PER_REGION {
            let id = region * PER_REGION + at + 1;
            let (name, address) = (format!("n{id}"), format!("192.18.{}.{}", id / 250, id % 250 + 1));
            let role = role(region);
            writeln!(text, "[[node]]\nname = \"{name}\"\nid = {id}\nregion = \"r{region}\"\nroles = [\"{role}\"]\nunderlay = [\"{address}\"]").unwrap();
            if role == "gateway" {
                writeln!(text, "nat_pool = [\"10.9.{}.{}\"]", id / 250, id % 250 + 1).unwrap();
            }
        }
    }
    let mut path = 0;
    for edge in 0..EDGE_REGIONS {
        for gateway in EDGE_REGIONS + MIDDLE_REGIONS..EDGE_REGIONS + MIDDLE_REGIONS + GATEWAY_REGIONS {
            let via = |at: usize| EDGE_REGIONS + (edge * 7 + gateway * 3 + at) % MIDDLE_REGIONS;
            writeln!(
                text,
                "[[path_set]]\nname = \"s{edge}-{gateway}\"\nedge = \"r{edge}\"\ngateway = \"r{gateway}\""
            )
            .unwrap();
            writeln!(
                text,
                "paths = [{{ id = {}, via = [\"r{}\"] }}, {{ id = {}, via = [\"r{}\"] }}]",
                path + 1,
                via(0),
                path + 2,
                via(1)
            )
            .unwrap();
            path += 2;
        }
    }
    for application in 0..APPLICATIONS {
        let vip = |edge: usize| {
            let node = edge * PER_REGION + application % PER_REGION + 1;
            format!("{{ address = \"203.{}.{application}.1\", node = \"n{node}\" }}", edge + 1)
        };
        let vips: Vec<String> = (0..EDGE_REGIONS).map(vip).collect();
        let gateway = EDGE_REGIONS + MIDDLE_REGIONS + application % GATEWAY_REGIONS;
        writeln!(
            text,
            "[[application]]\nname = \"a{application}\"\nseal = \"none\"\nvips = [{}]\nservices = [\"tcp/443\"]\ngateway = \"r{gateway}\"\n\
             origins = [{{ address = \"10.8.{application}.2\" }}]\ncopies = {copies}",
            vips.join(", ")
        )
        .unwrap();
    }
    text
}

/// Of this process, KiB: the server and all its nodes' ends.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn report() -> Report {
    let link = |at: usize| Link {
        neighbor: format!("n{at}"),
        version: 4,
        up: true,
        rtt_us: Some(9_000),
        loss_ppm: Some(10),
    };
    let path = |path: u16| Path {
        path,
        set: "s0-45".to_owned(),
        in_force: true,
        up: Some(true),
        rtt_us: Some(20_000),
        ..Path::default()
    };
    Report {
        ready: true,
        links: (1..=40).map(link).collect(),
        paths: (1..=10).map(path).collect(),
        ..Report::default()
    }
}

fn all_in_step(server: &Server) -> bool {
    let nodes = server.hub.nodes().unwrap();
    nodes.iter().filter(|node| node.in_step && node.connected).count() == NODES
}

#[test]
#[ignore = "takes a minute and a thousand threads, and is looked at rather than passed"]
fn a_thousand_nodes_in_step_with_one_server() {
    // Both ends of a thousand connections are in this process.
    proa_server::run::allow_connections();
    let server = Arc::new(server());
    let now = server.hub.registry.definition().unwrap().revision;
    let begun = Instant::now();
    server.hub.registry.apply(&definition(2), now, "test").unwrap();
    println!("definition of {} KiB checked and kept in {:.2?}", definition(2).len() / 1024, begun.elapsed());
    let begun = Instant::now();
    let certified: Vec<_> = (1..=NODES).map(|id| server.join(&format!("n{id}"))).collect();
    println!("{NODES} nodes joined one after the other in {:.1?}", begun.elapsed());
    let before_kib = memory_kib();
    let bytes = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    for (id, certified) in (1..=NODES).zip(certified) {
        // One after the other: from one address no more than sixteen may be on their way in.
        let mut client = server.connect(Some(&certified));
        client.stream.sock.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        client.say(&hello(&format!("n{id}")));
        let mut heard = client.hear();
        let bytes = bytes.clone();
        let follow = move || {
            loop {
                match heard {
                    Ok(ToNode::Snapshot(snapshot)) => {
                        bytes.fetch_add(snapshot.topology.len() as u64, Ordering::Relaxed);
                        client.say(&ToServer::Applied(snapshot.held));
                    }
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        client.say(&ToServer::Report(Box::new(report())));
                    }
                    Err(_) => return,
                }
                heard = client.hear();
            }
        };
        std::thread::Builder::new().stack_size(256 * 1024).spawn(follow).unwrap();
    }
    let converged = |begun: Instant| {
        while !all_in_step(&server) {
            assert!(begun.elapsed() < Duration::from_secs(60), "not all are in step");
            std::thread::sleep(Duration::from_millis(20));
        }
        begun.elapsed()
    };
    let took = converged(begun);
    let sent = bytes.swap(0, Ordering::Relaxed);
    println!(
        "all connected and in step in {took:.2?}: {} MiB of parts, {} KiB each",
        sent >> 20,
        sent / 1024 / NODES as u64
    );
    println!(
        "memory: {} MiB more, the nodes' ends of the connections included",
        (memory_kib() - before_kib) / 1024
    );
    for copies in [1, 2, 1] {
        let now = server.hub.registry.definition().unwrap().revision;
        let begun = Instant::now();
        server.hub.registry.apply(&definition(copies), now, "test").unwrap();
        let applied = begun.elapsed();
        server.hub.overlay_changed();
        let took = converged(begun);
        let sent = bytes.swap(0, Ordering::Relaxed);
        println!(
            "a change of all applications: checked and kept in {applied:.2?}, all in step after {took:.2?}, {} MiB sent",
            sent >> 20
        );
    }
}
