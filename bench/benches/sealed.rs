//! What sealing and hop authentication cost: the same packets through edge, intermediate and gateway without keys,
//! with keys of the links, and sealed, each beside what the bare library takes for the same bytes in a loop.
//!
//! In process, on heap buffers; thread CPU time, the median of the runs.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use overlay::keys::{Announcer, Identity, Keyring, Now, Settings};
use overlay::topology::{NodeId, Seal};
use packet::PacketBuf;
use packet::heap::{HeapBuf, HeapPool};
use pipelines::Burst;
use proa_bench::frame;
use proa_bench::node::{BURST, Node, Shape};
use proa_bench::source::Source;
use proa_bench::world::{self, Role};
use rustix::time::{ClockId, clock_gettime};
use siphasher::sip::SipHasher24;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

/// Bursts that each stage takes at once, so that reading the clock counts for nothing.
const BURSTS: usize = 32;
/// Runs of that.
const RUNS: usize = 301;
/// Flows.
const FLOWS: u32 = 1_008;
const ROLES: [Role; 3] = [Role::Edge, Role::Intermediate, Role::Gateway];
/// Bytes that a hop authenticator is computed over.
const AUTHENTICATED_LEN: usize = 43;
/// Bytes of the overlay's additional data.
const SHARED_LEN: usize = 16;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let cycles_per_ns = cycles_per_ns();
    println!("cycles are of {cycles_per_ns:.2} GHz");
    let sip = raw_authenticator();
    for size in [64, 1_400] {
        let plain = stages(size, false, Seal::None)?;
        let linked = stages(size, true, Seal::None)?;
        let sealed = stages(size, true, Seal::Aes256Gcm)?;
        let (seal, open) = raw(size - 18)?;
        println!(
            "\n{size} B frames, ns per packet  {:>8} {:>10} {:>8} {:>12} {:>12}",
            "no keys", "link keys", "sealed", "link adds", "seal adds"
        );
        for (at, role) in ROLES.iter().enumerate() {
            let (link, crypt) = (linked[at] - plain[at], sealed[at] - linked[at]);
            println!(
                "  {:<26} {:>8.1} {:>10.1} {:>8.1} {link:>12.1} {crypt:>12.1}",
                format!("{role:?}"),
                plain[at],
                linked[at],
                sealed[at]
            );
            let library = match role {
                Role::Edge => Some(("sealing", seal)),
                Role::Gateway => Some(("opening", open)),
                Role::Intermediate => None,
            };
            if let Some((what, library)) = library {
                println!(
                    "    {what}: {crypt:.1} ns, {:.0} cycles; the bare library {library:.1} ns; ratio {:.2}",
                    crypt * cycles_per_ns,
                    crypt / library
                );
            }
            // An intermediate checks one authenticator and makes another.
            let authenticators = if *role == Role::Intermediate { 2.0 } else { 1.0 };
            println!(
                "    link keys: {link:.1} ns, {:.0} cycles; the bare library {:.1} ns; ratio {:.2}",
                link * cycles_per_ns,
                sip * authenticators,
                link / (sip * authenticators)
            );
        }
    }
    Ok(())
}

/// Nanoseconds per packet of edge, intermediate and gateway.
fn stages(size: usize, keyed: bool, seal: Seal) -> Outcome<[f64; 3]> {
    let mut topology = world::topology(1, 1, FLOWS);
    topology.applications[0].seal = seal;
    let mut nodes = Vec::new();
    for role in ROLES {
        let shape = Shape { role, copies: 1, worker: 0, workers: 1, capacity: FLOWS.next_multiple_of(1_024) };
        nodes.push(Node::of(shape, world::compile(role, &topology)?)?);
    }
    if keyed {
        agree(&mut nodes)?;
    }
    let mut pool = HeapPool::new(BURSTS * BURST * 2);
    let mut source = Source::clients(0..FLOWS, size);
    let mut times = [const { Vec::new() }; 3];
    for run in 0..RUNS as u64 {
        let mut bursts: Vec<Burst<HeapBuf>> = Vec::new();
        for _ in 0..BURSTS {
            let mut burst = Burst::new();
            source.fill(&mut pool, &mut burst, BURST);
            bursts.push(burst);
        }
        for (node, times) in nodes.iter_mut().zip(&mut times) {
            let mut left: Vec<HeapBuf> = Vec::with_capacity(BURSTS * BURST);
            let start = cpu_ns();
            for burst in &mut bursts {
                node.step(2_000_000_000 + run, burst, &mut pool, |_, frames| left.extend(frames.drain(..)));
            }
            times.push((cpu_ns() - start) / (BURSTS * BURST) as f64);
            if left.len() != BURSTS * BURST {
                return Err(
                    format!("{} packets were lost: {:?}", BURSTS * BURST - left.len(), node.drops()).into()
                );
            }
            // Each node's port has the same address.
            left.iter_mut().for_each(|buf| buf.data_mut()[..6].copy_from_slice(&frame::PORT_MAC));
            bursts.iter_mut().for_each(|burst| burst.extend(left.drain(..BURST)));
        }
    }
    Ok(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[RUNS / 2]
    }))
}

/// Has the overlay's nodes agree on keys, as their control threads do.
fn agree(nodes: &mut [Node<HeapPool>]) -> Outcome<()> {
    let ids: Vec<NodeId> = ROLES.map(Role::node).to_vec();
    let identity = |node: NodeId| Identity::from_seed(&[node.0 as u8; 32]);
    let mut announcers = Vec::new();
    for id in &ids {
        let now = Now { monotonic_ms: 0, unix_ms: 1_780_000_000_000 };
        let settings = Settings { overlay_id: 1, node: *id, rotation_s: 3_600 };
        let mut keyring =
            Keyring::new(settings, identity(*id)?, now, &[id.0 as u8; 32]).ok_or("no keyring")?;
        let mut peers = Vec::new();
        for peer in &ids {
            peers.push((*peer, identity(*peer)?.public()));
        }
        keyring.set_peers(peers);
        announcers.push(Announcer::new(keyring));
    }
    for round in 0..40_u64 {
        let now = Now { monotonic_ms: round * 100, unix_ms: 1_780_000_000_000 + round * 100 };
        let mut messages = Vec::new();
        for (announcer, node) in announcers.iter_mut().zip(&mut *nodes) {
            if let Some(table) = announcer.keyring_mut().compile() {
                let generation = table.generation();
                node.swap_keys(Arc::new(table));
                announcer.keyring_mut().published(generation);
            }
            messages.extend(core::iter::from_fn(|| announcer.poll_transmit(now)));
        }
        for (to, message) in messages {
            if let Some(at) = ids.iter().position(|id| *id == to) {
                let _ = announcers[at].handle(&message, now);
            }
        }
    }
    Ok(())
}

/// Nanoseconds that the library takes to seal and to open a packet of so many bytes.
fn raw(len: usize) -> Outcome<(f64, f64)> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[3; 32]).map_err(|_| "no key")?);
    let nonce = |number: u64| {
        let mut nonce = [7; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    };
    // As many packets as the stages take at once, in buffers that lie as far apart.
    let mut packets = vec![vec![0x45; 2_048]; BURSTS * BURST];
    let (mut sealing, mut opening) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let start = cpu_ns();
        for (number, packet) in packets.iter_mut().enumerate() {
            let (inner, behind) = packet.split_at_mut(len);
            let aad = Aad::from(black_box([9; SHARED_LEN]));
            let tag =
                key.seal_in_place_separate_tag(nonce(number as u64), aad, inner).map_err(|_| "sealing")?;
            behind[..16].copy_from_slice(tag.as_ref());
        }
        sealing.push((cpu_ns() - start) / packets.len() as f64);
        let start = cpu_ns();
        for (number, packet) in packets.iter_mut().enumerate() {
            let aad = Aad::from(black_box([9; SHARED_LEN]));
            key.open_in_place(nonce(number as u64), aad, &mut packet[..len + 16]).map_err(|_| "opening")?;
        }
        opening.push((cpu_ns() - start) / packets.len() as f64);
    }
    sealing.sort_by(f64::total_cmp);
    opening.sort_by(f64::total_cmp);
    Ok((sealing[RUNS / 2], opening[RUNS / 2]))
}

/// Nanoseconds that the library takes for a hop authenticator.
fn raw_authenticator() -> f64 {
    let packets = vec![[0x45; AUTHENTICATED_LEN]; BURSTS * BURST];
    let hasher = SipHasher24::new_with_key(&[3; 16]);
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = cpu_ns();
            for packet in &packets {
                black_box(hasher.hash(black_box(packet)));
            }
            (cpu_ns() - start) / packets.len() as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The processor's frequency as it is announced, cycles per nanosecond; 1 where it is not.
fn cycles_per_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("cpu MHz"));
    line.and_then(|line| line.split(':').nth(1)?.trim().parse::<f64>().ok()).map_or(1.0, |mhz| mhz / 1e3)
}
