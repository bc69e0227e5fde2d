//! In the steady state no role allocates: each is run by its forwarder on heap buffers under an allocator that counts.

use overlay::topology::IpVersion;
use packet::Mac;
use proa_tests::sim::{Body, Datagram, Families, Lone, Plan, Shape};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as this function's caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as this function's caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as this function's caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Packets per burst, flows, and rounds that count.
const BURST: usize = 32;
const FLOWS: u16 = 64;
const ROUNDS: usize = 50;

/// Takes frames through a node, and returns what it allocated meanwhile; `take` sees what is transmitted.
fn run(node: &mut Lone, frames: &[Vec<u8>], mut take: impl FnMut(&[u8])) -> u64 {
    let mut allocated = 0;
    for frames in frames.chunks(BURST) {
        let before = ALLOCATIONS.get();
        let mut taken = 0;
        node.run(0, frames, |_, bytes| {
            let before = ALLOCATIONS.get();
            take(bytes);
            taken += ALLOCATIONS.get() - before;
        });
        allocated += ALLOCATIONS.get() - before - taken;
    }
    allocated
}

/// One edge, two paths of one intermediate each, one gateway; one port and one worker each.
fn plan(version: IpVersion) -> Plan {
    let shape = Shape {
        edges: 1..=1,
        regions: 2..=2,
        per_region: 1..=1,
        gateways: 1..=1,
        copies: 2..=2,
        workers: 1..=1,
        applications: 1..=1,
        underlay: if version == IpVersion::V4 { Families::V4 } else { Families::V6 },
        tagged: 0.0,
        one_armed: 1.0,
        ..Shape::default()
    };
    Plan::draw(1, &shape)
}

fn frame(mac: Mac, packet: &Datagram) -> Vec<u8> {
    let mut frame = mac.0.to_vec();
    frame.extend([2, 0, 0, 0, 9, 9]);
    frame.extend(if packet.src.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet.encode());
    frame
}

/// Frames that a node was sent, by what stands in their Ethernet header.
fn for_node(frames: &[Vec<u8>], node: &Lone) -> Vec<Vec<u8>> {
    frames.iter().filter(|frame| frame[..6] == node.mac.0).cloned().collect()
}

#[test]
fn no_role_allocates_in_the_steady_state() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let plan = plan(version);
        let role = |has: fn(&overlay::topology::Roles) -> bool| plan.with_role(has);
        let mut edge = Lone::of(&plan, role(|roles| roles.edge)[0]);
        let mut middle: Vec<Lone> =
            role(|roles| roles.intermediate).into_iter().map(|at| Lone::of(&plan, at)).collect();
        let mut gateway = Lone::of(&plan, role(|roles| roles.gateway)[0]);
        let application = &plan.topology.applications[0];
        let vip = application.vips.iter().find(|vip| IpVersion::of(vip.address) == version).unwrap().address;
        assert_eq!(plan.node(application.vips[0].node), role(|roles| roles.edge)[0]);
        let client = plan.stations[0].behind.iter().find(|own| IpVersion::of(**own) == version).unwrap();
        let requests: Vec<Vec<u8>> = (0..FLOWS)
            .map(|port| {
                let body = Body::Tcp {
                    ports: (5000 + port, 80),
                    numbers: (1, 2),
                    flags: 0x10,
                    options: Vec::new(),
                    payload: vec![7; 100],
                };
                let (src, dst) = (*client, vip);
                frame(
                    edge.mac,
                    &Datagram { src, dst, ttl: 64, class: 0, label: 0, dont_fragment: true, body },
                )
            })
            .collect();

        for round in 0..ROUNDS {
            let mut allocated = [0; 5];
            let mut copies = Vec::new();
            allocated[0] = run(&mut edge, &requests, |bytes| copies.push(bytes.to_vec()));
            let mut forwarded = Vec::new();
            for node in &mut middle {
                allocated[1] += run(node, &for_node(&copies, node), |bytes| forwarded.push(bytes.to_vec()));
            }
            let mut replies = Vec::new();
            allocated[2] = run(&mut gateway, &forwarded, |bytes| replies.push(reply(bytes)));
            assert_eq!((copies.len(), forwarded.len()), (2 * FLOWS as usize, 2 * FLOWS as usize));
            assert_eq!(replies.len(), FLOWS as usize, "{:?}", gateway.counters.drops_total());
            let to_gateway: Vec<_> =
                replies.iter().map(|one| [&gateway.mac.0[..], &one[6..]].concat()).collect();
            let mut copies = Vec::new();
            allocated[3] = run(&mut gateway, &to_gateway, |bytes| copies.push(bytes.to_vec()));
            let mut forwarded = Vec::new();
            for node in &mut middle {
                allocated[1] += run(node, &for_node(&copies, node), |bytes| forwarded.push(bytes.to_vec()));
            }
            let mut delivered = 0;
            allocated[4] = run(&mut edge, &forwarded, |_| delivered += 1);
            assert_eq!(delivered, FLOWS as usize);
            // The first round makes flows, sessions and streams: even that claims no memory.
            assert_eq!(allocated, [0; 5], "round {round}: edge, intermediates, gateway, gateway, edge");
        }
    }
}

/// The origin's reply to a request: addresses and ports change places, which leaves all checksums right.
fn reply(frame: &[u8]) -> Vec<u8> {
    let mut reply = frame.to_vec();
    let (addresses, len) = if frame[14] >> 4 == 4 { (26, 4) } else { (22, 16) };
    reply[addresses..addresses + 2 * len].rotate_left(len);
    let ports = addresses + 2 * len;
    reply[ports..ports + 4].rotate_left(2);
    reply
}
