//! What nobody should send: changed bits, made-up frames, floods. Nothing panics, no buffer is lost, every drop has
//! its reason; the checks of the balance run inside the simulator after each burst.

use proa_tests::sim::{Action, MILLISECOND, Plan, Random, SECOND, Shape, World, seeds};

/// Bytes that parsers look at: the start of real frames, to be changed here and there.
fn hostile_frame(world: &World, node: usize, random: &mut Random) -> Vec<u8> {
    let mut frame = match world.segments[0].sample(random) {
        Some(frame) if random.chance(0.9) => frame,
        _ => (0..random.within(14..=200)).map(|_| random.bits() as u8).collect(),
    };
    let own = world.nodes[node].setup.plan.ports[0].0.mac;
    if random.chance(0.95) {
        frame[..6].copy_from_slice(&own.0);
    }
    for _ in 0..random.below(6) {
        let at = random.within(12..=(frame.len() as u64 - 1).min(140)) as usize;
        frame[at] = match random.below(3) {
            0 => random.bits() as u8,
            1 => frame[at] ^ 1 << random.below(8),
            _ => *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        };
    }
    if random.chance(0.3) {
        frame.truncate(random.within(14..=frame.len() as u64) as usize);
    }
    if random.chance(0.8) {
        mend_ipv4(&mut frame);
    }
    frame
}

/// Puts the right checksum into a changed IPv4 header, so that what lies behind it is reached.
fn mend_ipv4(frame: &mut [u8]) {
    let Some(header) = frame.get_mut(14..34).filter(|header| header[0] == 0x45) else { return };
    header[10..12].fill(0);
    let sum = !packet::checksum::sum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn made_up_frames_harm_nothing() {
    seeds("hostile", "made_up_frames_harm_nothing", 40, |seed| {
        let mut random = Random::new(seed, 11);
        let mut world = World::new(Plan::draw(seed, &Shape::default()), seed, MILLISECOND);
        world.corrupting = true;
        world.plan_requests(100, 30, 3 * SECOND, 4 * SECOND);
        world.run_until(3 * SECOND);
        for step in 0..50 {
            world.run_until(3 * SECOND + step * 20 * MILLISECOND);
            for _ in 0..20 {
                let node = random.below(world.nodes.len() as u64) as usize;
                let frame = hostile_frame(&world, node, &mut random);
                world.inject(node, random.below(world.plan.nodes[node].ports.len() as u64) as u8, frame);
            }
        }
        world.finish();
    });
}

#[test]
fn changed_bits_never_panic_and_every_buffer_is_found_again() {
    seeds("hostile", "changed_bits_never_panic_and_every_buffer_is_found_again", 40, |seed| {
        let mut random = Random::new(seed, 12);
        let mut world = World::new(Plan::draw(seed, &Shape::default()), seed, 5 * MILLISECOND);
        world.corrupting = true;
        for from in 0..world.nodes.len() {
            for to in (0..world.nodes.len()).filter(|to| *to != from) {
                let mut link = world.wan(from, to).clone();
                link.corrupt = *random.pick(&[0.01, 0.2, 0.9]);
                world.at(2 * SECOND, Action::Wan { from, to, link });
            }
        }
        world.plan_requests(300, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(4 * SECOND);
        world.finish();
        assert!(world.segments[0].wire.corrupted > 0);
    });
}

#[test]
fn a_pool_too_small_loses_packets_but_no_buffers() {
    seeds("hostile", "a_pool_too_small_loses_packets_but_no_buffers", 20, |seed| {
        let shape = Shape { buffers: 24, copies: 2..=3, ..Shape::default() };
        let mut world = World::new(Plan::draw(seed, &shape), seed, MILLISECOND);
        world.plan_requests(600, 60, 3 * SECOND, 3 * SECOND + 20 * MILLISECOND);
        world.run_until(4 * SECOND);
        world.finish();
    });
}
