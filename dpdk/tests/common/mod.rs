//! What the tests share: one DPDK without hugepages, and devices that need no hardware.
// Each test binary uses some of it.
#![allow(dead_code)]

use arrayvec::ArrayVec;
use dpdk::{Eal, Mbuf, Mempool, Pool, PoolConfig, PortConfig, RxQueue, TxQueue};
use packet::{BufPool, PacketBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Arguments that work on any machine: no hugepages, no PCI, nothing left behind.
pub const ARGS: [&str; 7] =
    ["--no-huge", "--no-shconf", "--no-telemetry", "-m", "128", "--no-pci", "--lcores=0@0"];

/// This process's DPDK, never cleaned up.
pub fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| Eal::init(ARGS).unwrap())
}

/// A pool in which no mbuf rests unseen in DPDK's caches.
pub fn mempool(eal: &Eal, capacity: u32) -> Mempool {
    Mempool::new(eal, &PoolConfig { capacity, cache: 0, ..PoolConfig::default() }).unwrap()
}

/// Starts a device with one queue each way.
pub fn start(eal: &Eal, device: &str, mempool: &Mempool) -> (dpdk::Port, RxQueue, TxQueue) {
    let device = dpdk::Device::find(eal, device).unwrap();
    let (port, mut rx, mut tx) = device.start(&PortConfig::default(), mempool).unwrap();
    (port, rx.remove(0), tx.remove(0))
}

/// A packet of these bytes.
pub fn packet(pool: &mut Pool, bytes: &[u8]) -> Mbuf {
    let mut mbuf = pool.alloc().unwrap();
    mbuf.append(bytes.len()).unwrap();
    mbuf.data_mut().copy_from_slice(bytes);
    mbuf
}

/// Receives until `wanted` packets are there, as long as it takes a slow machine.
pub fn receive<const N: usize>(rx: &mut RxQueue, wanted: usize) -> ArrayVec<Mbuf, N> {
    let mut packets = ArrayVec::new();
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while packets.len() < wanted && std::time::Instant::now() < patience {
        rx.burst(&mut packets);
    }
    packets
}

/// Says to a process which case it is to run.
const CASE: &str = "PROA_DPDK_TEST_CASE";

/// Runs `case`, the body of the test of this name, in a process of its own: DPDK starts once per process.
pub fn alone(name: &str, case: impl FnOnce()) {
    if std::env::var(CASE).is_ok_and(|wanted| wanted == name) {
        return case();
    }
    let output = command(name).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
    assert!(text.contains("1 passed"), "{text}");
}

/// A process of this test binary that runs the test of this name.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--include-ignored"]).env(CASE, name);
    command
}
