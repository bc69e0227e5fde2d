//! The software devices that labs and containers use, each driven for real, in a network namespace of its own.
//! Needs root and iproute2.
#![allow(clippy::unwrap_used)]

mod common;

use arrayvec::ArrayVec;
use common::{ARGS, alone, command, mempool, packet, receive, start};
use dpdk::{Device, Eal, Mbuf, Pool, PortConfig, Reception, RxQueue, TxQueue};
use packet::PacketBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A frame of this many bytes, of an Ethernet type for experiments, which no kernel answers.
fn frame(number: u8, len: usize) -> Vec<u8> {
    let mut frame = vec![number; len];
    frame[..12].copy_from_slice(&[0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2]);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

/// Moves the process into a network namespace of its own, with a veth pair `left` and `right`.
fn namespace() {
    // SAFETY: concerns this thread, which goes on to start DPDK.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "network namespaces need root");
    // New interfaces are to send nothing of their own.
    std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    ip("link add left type veth peer name right");
    ip("link set left up");
    ip("link set right up");
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Sends frames of several sizes from one to the other and compares what arrives.
fn exchange(pool: &mut Pool, tx: &mut TxQueue, rx: &mut RxQueue) {
    let frames: Vec<Vec<u8>> = (0..20).map(|n| frame(n, 60 + 76 * usize::from(n))).collect();
    let mut packets: ArrayVec<Mbuf, 32> = frames.iter().map(|frame| packet(pool, frame)).collect();
    for _ in 0..1000 {
        tx.burst(&mut packets);
        if packets.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(packets.is_empty(), "{} packets not sent", packets.len());
    let received = receive::<32>(rx, frames.len());
    assert_eq!(received.len(), frames.len());
    for (mbuf, frame) in received.iter().zip(&frames) {
        assert_eq!(mbuf.data(), frame);
        assert!(mbuf.headroom() >= 96, "{}", mbuf.headroom());
    }
}

#[test]
fn af_packet() {
    alone("af_packet", || {
        namespace();
        let eal = Eal::init(ARGS).unwrap();
        let mempool = mempool(&eal, 8192);
        let mut pool = Pool::new(&mempool);
        let (port, mut left_rx, mut left_tx) = start(&eal, "net_af_packet0,iface=left", &mempool);
        let (_right, mut right_rx, mut right_tx) = start(&eal, "net_af_packet1,iface=right", &mempool);
        assert_eq!(port.info().driver, "net_af_packet");
        assert!(port.link().unwrap().up);
        exchange(&mut pool, &mut left_tx, &mut right_rx);
        exchange(&mut pool, &mut right_tx, &mut left_rx);
    });
}

#[test]
fn af_packet_with_two_queues_and_another_mtu() {
    alone("af_packet_with_two_queues_and_another_mtu", || {
        namespace();
        let eal = Eal::init(ARGS).unwrap();
        let mempool = mempool(&eal, 8192);
        let device = Device::find(&eal, "net_af_packet0,iface=left,qpairs=2").unwrap();
        assert_eq!((device.info().rx_queues_max, device.info().rss_addresses), (2, false));
        let config = PortConfig {
            rx_queues: 2,
            tx_queues: 2,
            mtu: 1400,
            reception: Reception::Promiscuous,
            ..PortConfig::default()
        };
        let (port, ..) = device.start(&config, &mempool).unwrap();
        assert_eq!((port.info().mtu, port.rss()), (1400, None));
    });
}

#[test]
fn af_xdp() {
    alone("af_xdp", || {
        namespace();
        let eal = Eal::init(ARGS).unwrap();
        let mempool = mempool(&eal, 16384);
        let mut pool = Pool::new(&mempool);
        let (port, mut left_rx, mut left_tx) = start(&eal, "net_af_xdp0,iface=left", &mempool);
        let (_right, mut right_rx, mut right_tx) = start(&eal, "net_af_packet0,iface=right", &mempool);
        assert_eq!(port.info().driver, "net_af_xdp");
        exchange(&mut pool, &mut left_tx, &mut right_rx);
        exchange(&mut pool, &mut right_tx, &mut left_rx);
    });
}

#[test]
fn tap() {
    alone("tap", || {
        namespace();
        let eal = Eal::init(ARGS).unwrap();
        let mempool = mempool(&eal, 8192);
        let mut pool = Pool::new(&mempool);
        let (port, mut tap_rx, mut tap_tx) = start(&eal, "net_tap0,iface=inside", &mempool);
        assert_eq!(port.info().driver, "net_tap");
        // The kernel's side of the tap, driven by the other software device.
        let (_side, mut rx, mut tx) = start(&eal, "net_af_packet0,iface=inside", &mempool);
        exchange(&mut pool, &mut tap_tx, &mut rx);
        exchange(&mut pool, &mut tx, &mut tap_rx);
    });
}

#[test]
fn memif() {
    alone("memif", || {
        let eal = Eal::init(ARGS).unwrap();
        let mempool = mempool(&eal, 8192);
        let mut pool = Pool::new(&mempool);
        let socket = memif_socket(std::process::id());
        let device = format!("net_memif0,role=server,id=0,socket={socket},socket-abstract=no");
        let (server, mut rx, mut tx) = start(&eal, &device, &mempool);
        let mut peer = command("memif_peer").env(MEMIF, &socket).stdin(Stdio::piped()).spawn().unwrap();
        for _ in 0..10_000 {
            if server.link().unwrap().up {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        exchange(&mut pool, &mut tx, &mut rx);
        drop(peer.stdin.take());
        peer.wait().unwrap();
        let _ = std::fs::remove_file(&socket);
    });
}

/// Tells the peer where the server listens.
const MEMIF: &str = "PROA_DPDK_TEST_MEMIF";

fn memif_socket(id: u32) -> String {
    format!("{}/proa-memif-{id}.sock", std::env::temp_dir().display())
}

#[test]
#[ignore = "the other half of memif"]
fn memif_peer() {
    let socket = std::env::var(MEMIF).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        seen.store(true, Ordering::Relaxed);
    });
    let eal = Eal::init(ARGS).unwrap();
    let mempool = mempool(&eal, 8192);
    let device = format!("net_memif0,role=client,id=0,socket={socket},socket-abstract=no");
    let (_port, mut rx, mut tx) = start(&eal, &device, &mempool);
    let mut packets: ArrayVec<Mbuf, 64> = ArrayVec::new();
    while !over.load(Ordering::Relaxed) {
        rx.burst(&mut packets);
        tx.burst(&mut packets);
    }
}
