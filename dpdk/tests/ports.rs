//! Ports and queues on devices that need no hardware: packets go round, counts agree, mistakes are named.
#![allow(clippy::unwrap_used)]

mod common;

use arrayvec::ArrayVec;
use common::{eal, mempool, packet, receive, start};
use dpdk::{BURST, Device, Error, HEADROOM, Mbuf, Mempool, Pool, PortConfig, Reception, RssKey};
use packet::{BufPool, PacketBuf};
use std::io::Write;

#[test]
fn what_is_sent_is_received_in_order() {
    let mempool = mempool(eal(), 1024);
    let mut pool = Pool::new(&mempool);
    let (port, mut rx, mut tx) = start(eal(), "net_ring_order", &mempool);
    assert_eq!(port.info().name, "net_ring_order");
    assert_eq!((rx.port(), rx.index(), tx.port(), tx.index()), (port.id(), 0, port.id(), 0));

    let mut packets: ArrayVec<Mbuf, 100> = (0..100).map(|n| packet(&mut pool, &[n; 60])).collect();
    assert_eq!(tx.burst(&mut packets), BURST);
    assert_eq!((packets.len(), packets[0].data()[0]), (100 - BURST, BURST as u8));
    assert_eq!(tx.burst(&mut packets), 100 - BURST);
    assert_eq!(tx.burst(&mut packets), 0);

    // Appended behind what is there, up to the room left.
    let mut received: ArrayVec<Mbuf, 100> = ArrayVec::new();
    received.push(packet(&mut pool, &[200]));
    while rx.burst(&mut received) > 0 {}
    assert_eq!(received.len(), 100);
    assert_eq!(rx.burst(&mut received), 0);
    for (n, mbuf) in received.iter().skip(1).enumerate() {
        assert_eq!((mbuf.data(), mbuf.headroom()), (&[n as u8; 60][..], HEADROOM));
        mbuf.prefetch();
    }
    received.clear();
    assert_eq!(rx.burst(&mut received), 1);
    assert_eq!(received[0].data(), [99; 60]);

    let stats = port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets, rx.segmented()), (100, 100, 0));
    received.drain(..).for_each(|mbuf| pool.free(mbuf));
    assert_eq!(pool.available(), 1024);
}

#[test]
fn a_full_device_leaves_the_rest() {
    let mempool = mempool(eal(), 4096);
    let mut pool = Pool::new(&mempool);
    let (_port, mut rx, mut tx) = start(eal(), "net_ring_full", &mempool);
    let mut sent = 0;
    let mut packets: ArrayVec<Mbuf, 64> = ArrayVec::new();
    loop {
        while !packets.is_full() {
            packets.push(packet(&mut pool, &[0; 60]));
        }
        let taken = tx.burst(&mut packets);
        assert_eq!(packets.len(), 64 - taken);
        sent += taken;
        if taken < 64 {
            break;
        }
    }
    assert_eq!(tx.burst(&mut packets), 0);
    let mut received = 0;
    let mut burst: ArrayVec<Mbuf, 64> = ArrayVec::new();
    while rx.burst(&mut burst) > 0 {
        received += burst.len();
        dpdk::free_all(&mut burst);
    }
    drop(packets);
    assert_eq!((received, pool.available()), (sent, 4096));
}

#[test]
fn packets_in_segments_are_counted_and_freed() {
    let mempool = mempool(eal(), 64);
    let mut pool = Pool::new(&mempool);
    let (_port, mut rx, mut tx) = start(eal(), "net_ring_segments", &mempool);
    let mut packets: ArrayVec<Mbuf, 64> = ArrayVec::new();
    for n in 0..9 {
        let mbuf = packet(&mut pool, &[n; 60]);
        packets.push(if n % 3 == 1 { chain(mbuf, packet(&mut pool, &[n; 60])) } else { mbuf });
    }
    assert_eq!(tx.burst(&mut packets), 9);
    let received = receive::<64>(&mut rx, 6);
    let numbers: Vec<u8> = received.iter().map(|mbuf| mbuf.data()[0]).collect();
    assert_eq!((numbers, rx.segmented()), (vec![0, 2, 3, 5, 6, 8], 3));
    drop(received);
    assert_eq!(pool.available(), 64);
    // What comes back from chains is as new.
    while let Some(mbuf) = pool.alloc() {
        assert_eq!((mbuf.len(), mbuf.headroom()), (0, HEADROOM));
        packets.push(mbuf);
    }
    assert_eq!(packets.len(), 64);
}

/// An mbuf of two segments, as only a device makes them.
fn chain(head: Mbuf, tail: Mbuf) -> Mbuf {
    let (head, tail) = (head.into_raw(), tail.into_raw());
    // SAFETY: both are owned mbufs; the result is only sent and freed, which copes with segments.
    unsafe {
        let field = |offset: u32| head.as_ptr().byte_add(offset as usize);
        field(dpdk_sys::PROA_MBUF_NEXT).cast::<*mut dpdk_sys::rte_mbuf>().write(tail.as_ptr());
        field(dpdk_sys::PROA_MBUF_NB_SEGS).cast::<u16>().write(2);
        field(dpdk_sys::PROA_MBUF_PKT_LEN).cast::<u32>().write(120);
        Mbuf::from_raw(head)
    }
}

#[test]
fn a_port_runs_until_its_last_queue_is_dropped() {
    let mempool = mempool(eal(), 256);
    let mut pool = Pool::new(&mempool);
    for _ in 0..2 {
        let (port, mut rx, mut tx) = start(eal(), "net_ring_life", &mempool);
        assert!(port.link().unwrap().up);
        assert!(matches!(Device::find(eal(), "net_ring_life"), Err(Error::DeviceInUse { .. })));
        drop(port);
        let mut packets: ArrayVec<Mbuf, 4> = ArrayVec::from_iter([packet(&mut pool, &[5; 60])]);
        assert_eq!(tx.burst(&mut packets), 1);
        drop(tx);
        assert_eq!(receive::<4>(&mut rx, 1).len(), 1);
    }
    assert_eq!(pool.available(), 256);
}

#[test]
fn several_queues_keep_apart() {
    let mempool = mempool(eal(), 512);
    let mut pool = Pool::new(&mempool);
    let device = Device::find(eal(), "net_ring_queues").unwrap();
    let config = PortConfig {
        rx_queues: 2,
        tx_queues: 2,
        reception: Reception::Promiscuous,
        rss_key: Some(RssKey::new(&[0x6d; 40])),
        ..PortConfig::default()
    };
    let (_port, mut rx, mut tx) = device.start(&config, &mempool).unwrap();
    for n in 0..2 {
        let mut packets: ArrayVec<Mbuf, 4> = ArrayVec::from_iter([packet(&mut pool, &[n; 60])]);
        assert_eq!(tx[usize::from(n)].burst(&mut packets), 1);
    }
    for n in 0..2 {
        let received = receive::<4>(&mut rx[usize::from(n)], 1);
        assert_eq!((received.len(), received[0].data()[0]), (1, n));
    }
}

#[test]
fn a_capture_is_received() {
    let mempool = mempool(eal(), 512);
    let mut file = tempfile();
    let frames: Vec<Vec<u8>> = (1u8..=10).map(|n| vec![n; 60 + usize::from(n) * 100]).collect();
    file.0.write_all(&capture(&frames)).unwrap();
    let device = format!("net_pcap_capture,rx_pcap={}", file.1);
    let (_port, mut rx, _tx) = start(eal(), &device, &mempool);
    let received = receive::<64>(&mut rx, frames.len());
    std::fs::remove_file(&file.1).unwrap();
    assert!(received.iter().map(Mbuf::data).eq(frames.iter()));
    drop((received, rx, _tx, _port));
    assert_eq!(mempool.available(), 512);
}

/// A capture file of these frames.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let words = |bytes: &mut Vec<u8>, words: &[u32]| {
        words.iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
    };
    words(&mut bytes, &[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1]);
    for frame in frames {
        words(&mut bytes, &[0, 0, frame.len() as u32, frame.len() as u32]);
        bytes.extend(frame);
    }
    bytes
}

/// A new file and its path.
fn tempfile() -> (std::fs::File, String) {
    let path = std::env::temp_dir().join(format!("proa-dpdk-{}.pcap", std::process::id()));
    (std::fs::File::create(&path).unwrap(), path.to_str().unwrap().to_owned())
}

#[test]
fn a_null_device_gives_and_takes_all() {
    let mempool = Mempool::new(eal(), &dpdk::PoolConfig { capacity: 2048, ..Default::default() }).unwrap();
    let (port, mut rx, mut tx) = start(eal(), "net_null_all,size=64", &mempool);
    let mut packets: ArrayVec<Mbuf, 32> = ArrayVec::new();
    for _ in 0..100 {
        assert_eq!(rx.burst(&mut packets), 32);
        assert_eq!(packets[31].len(), 64);
        assert_eq!(tx.burst(&mut packets), 32);
    }
    assert_eq!(port.stats().unwrap().tx_packets, 3200);
    assert_eq!(port.info().driver, "net_null");
    drop((port, rx, tx));
    assert_eq!(mempool.available(), 2048);
}

#[test]
fn an_exhausted_pool_receives_nothing_and_loses_nothing() {
    let mempool = mempool(eal(), 512);
    let (_port, mut rx, _tx) = start(eal(), "net_null_exhausted,size=64", &mempool);
    let mut hoard = Vec::new();
    loop {
        let mut packets: ArrayVec<Mbuf, 64> = ArrayVec::new();
        if rx.burst(&mut packets) == 0 {
            break;
        }
        hoard.push(packets);
    }
    assert!(mempool.available() < 64);
    drop(hoard);
    assert_eq!(rx.burst(&mut ArrayVec::<Mbuf, 64>::new()), 64);
    assert_eq!(mempool.available(), 512);
}

#[test]
fn mistakes_are_named() {
    let mempool = mempool(eal(), 512);
    let find = |name: &str| Device::find(eal(), name).unwrap_err();
    for name in ["0000:ff:1f.7", "net_nosuch0", "eth0", "", ",", "net_af_packet_x,iface=nosuchif0"] {
        let error = find(name);
        assert!(matches!(&error, Error::NoDevice { device, .. } if device == name), "{name}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(matches!(find("zero\0byte"), Error::Arguments { .. }));

    let start = |config: PortConfig| {
        Device::find(eal(), "net_ring_mistakes").unwrap().start(&config, &mempool).map(drop).unwrap_err()
    };
    let error = start(PortConfig { rx_queues: 0, ..PortConfig::default() });
    assert!(matches!(error, Error::Queues { rx: 0, tx: 1, .. }), "{error}");
    let error = start(PortConfig { tx_queues: 5000, ..PortConfig::default() });
    assert!(matches!(error, Error::Queues { tx: 5000, .. }), "{error}");
    let error = start(PortConfig { mtu: 10, ..PortConfig::default() });
    assert!(matches!(error, Error::Mtu { mtu: 10, .. }), "{error}");
    let error = start(PortConfig { mtu: 9000, ..PortConfig::default() });
    assert!(matches!(error, Error::MtuExceedsBuffer { mtu: 9000, .. } | Error::Mtu { .. }), "{error}");
    let error = start(PortConfig { rss_key: Some(RssKey::new(&[1; 65])), ..PortConfig::default() });
    assert!(matches!(error, Error::RssKey { len: 65, .. }), "{error}");
    assert_eq!(start_ok(&mempool), 1);
}

/// The device still works after all that was refused.
fn start_ok(mempool: &Mempool) -> usize {
    let device = Device::find(eal(), "net_ring_mistakes").unwrap();
    device.start(&PortConfig::default(), mempool).unwrap().1.len()
}
