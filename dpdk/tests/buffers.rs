//! Mempools, pools and mbufs: rooms, balance, exhaustion, and what a new mbuf looks like.
#![allow(clippy::unwrap_used)]

mod common;

use arrayvec::ArrayVec;
use common::{eal, mempool, packet};
use dpdk::{Error, HEADROOM, Mbuf, Mempool, Pool, PoolConfig, STASH};
use packet::{BufPool, NoRoom, PacketBuf};

#[test]
fn an_mbuf_is_one_pointer() {
    assert_eq!(size_of::<Option<Mbuf>>(), size_of::<usize>());
    fn is_send<T: Send>() {}
    is_send::<Mbuf>();
    is_send::<Pool>();
    is_send::<dpdk::RxQueue>();
    is_send::<dpdk::TxQueue>();
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Mempool>();
    is_shared::<dpdk::Eal>();
}

#[test]
fn room_is_finite_on_both_sides() {
    let mempool = mempool(eal(), 8);
    let mut pool = Pool::new(&mempool);
    let mut mbuf = packet(&mut pool, &[1, 2, 3]);
    assert_eq!((mbuf.headroom(), mbuf.len(), mbuf.tailroom()), (HEADROOM, 3, 2048 - 3));

    assert_eq!(mbuf.prepend(HEADROOM + 1), Err(NoRoom));
    mbuf.prepend(HEADROOM).unwrap();
    assert_eq!((mbuf.headroom(), mbuf.len()), (0, HEADROOM + 3));
    mbuf.data_mut()[..HEADROOM].fill(7);
    assert_eq!(mbuf.prepend(1), Err(NoRoom));
    mbuf.trim_front(HEADROOM + 1).unwrap();
    assert_eq!(mbuf.data(), [2, 3]);
    assert_eq!(mbuf.trim_front(3), Err(NoRoom));

    assert_eq!(mbuf.append(2048 - 3 + 1), Err(NoRoom));
    assert_eq!(mbuf.append(usize::MAX), Err(NoRoom));
    assert_eq!(mbuf.prepend(usize::MAX), Err(NoRoom));
    assert_eq!(mbuf.trim_front(usize::MAX), Err(NoRoom));
    mbuf.append(2048 - 3).unwrap();
    assert_eq!((mbuf.tailroom(), mbuf.len()), (0, 2047));
    mbuf.data_mut().fill(9);
    mbuf.truncate(5000);
    assert_eq!(mbuf.len(), 2047);
    mbuf.truncate(1);
    assert_eq!((mbuf.data(), mbuf.tailroom()), (&[9][..], 2046));
}

#[test]
fn a_reused_mbuf_is_as_new() {
    let mempool = mempool(eal(), 1);
    let mut pool = Pool::new(&mempool);
    for through_the_stash in [true, false, true] {
        let mut mbuf = pool.alloc().unwrap();
        assert_eq!((mbuf.headroom(), mbuf.len(), mbuf.tailroom()), (HEADROOM, 0, 2048));
        assert_eq!((mbuf.is_empty(), mbuf.port()), (true, None));
        mbuf.append(100).unwrap();
        mbuf.prepend(50).unwrap();
        if through_the_stash {
            pool.free(mbuf);
        } else {
            drop(mbuf);
        }
    }
}

#[test]
fn a_copy_has_its_own_bytes() {
    let mempool = mempool(eal(), 8);
    let mut pool = Pool::new(&mempool);
    let mut source = packet(&mut pool, b"as it was");
    let copy = pool.copy(&source).unwrap();
    source.data_mut().fill(0);
    assert_eq!((copy.data(), copy.headroom()), (&b"as it was"[..], HEADROOM));
}

#[test]
fn an_exhausted_pool_gives_none_and_recovers() {
    // Neither a multiple of the stash's bulk nor a power of two.
    let mempool = mempool(eal(), 77);
    let mut pool = Pool::new(&mempool);
    let mut out = Vec::new();
    while let Some(mbuf) = pool.alloc() {
        out.push(mbuf);
        assert!(out.len() <= 77);
    }
    assert_eq!((out.len(), pool.available()), (77, 0));
    assert!(pool.alloc().is_none());

    pool.free(out.pop().unwrap());
    assert_eq!((pool.available(), pool.stashed()), (1, 1));
    out.push(pool.alloc().unwrap());
    assert!(pool.copy(&out[0]).is_none());
    drop(out);
    assert_eq!(pool.available(), 77);
}

#[test]
fn the_pool_balances_with_its_stash() {
    let mempool = mempool(eal(), 512);
    let mut pool = Pool::new(&mempool);
    assert_eq!((mempool.available(), mempool.capacity()), (512, 512));

    let mut out: Vec<Mbuf> = (0..300).map(|_| pool.alloc().unwrap()).collect();
    assert_eq!(pool.available(), 212);
    // By every way back: the stash, which overflows; a drop; one call for many.
    out.drain(..150).for_each(|mbuf| pool.free(mbuf));
    assert!(pool.stashed() <= STASH);
    assert_eq!(pool.available(), 362);
    out.truncate(60);
    assert_eq!(pool.available(), 452);
    let mut burst: ArrayVec<Mbuf, 64> = out.drain(..).collect();
    dpdk::free_all(&mut burst);
    assert!(burst.is_empty());
    dpdk::free_all(&mut burst);
    assert_eq!(pool.available(), 512);

    assert_eq!(mempool.available() + pool.stashed(), 512);
    pool.flush();
    assert_eq!(mempool.available(), 512);
    let _one = pool.alloc().unwrap();
    drop(pool);
    assert_eq!(mempool.available(), 511);
}

#[test]
fn another_pools_mbuf_goes_home() {
    let (ours, theirs) = (mempool(eal(), 8), mempool(eal(), 8));
    let (mut pool, mut other) = (Pool::new(&ours), Pool::new(&theirs));
    let stray = other.alloc().unwrap();
    pool.free(stray);
    assert_eq!((pool.stashed(), pool.available(), other.available()), (0, 8, 8));
}

#[test]
fn threads_share_a_mempool() {
    let eal = eal();
    let mempool = Mempool::new(eal, &PoolConfig { capacity: 4096, ..PoolConfig::default() }).unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Mbuf>(256);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _known = dpdk::Registration::new(eal).unwrap();
            let mut pool = Pool::new(&mempool);
            for number in 0..20_000u32 {
                let mbuf = loop {
                    if let Some(mbuf) = pool.alloc() {
                        break mbuf;
                    }
                    std::thread::yield_now();
                };
                let mut mbuf = mbuf;
                mbuf.append(4).unwrap();
                mbuf.data_mut().copy_from_slice(&number.to_be_bytes());
                sender.send(mbuf).unwrap();
            }
            drop(sender);
        });
        // Frees what the other thread allocates, without being known to DPDK.
        let mut pool = Pool::new(&mempool);
        for (number, mbuf) in receiver.iter().enumerate() {
            assert_eq!(mbuf.data(), (number as u32).to_be_bytes());
            if number % 2 == 0 { pool.free(mbuf) } else { drop(mbuf) }
        }
    });
    assert_eq!(mempool.available(), mempool.capacity());
}

#[test]
fn what_no_pool_can_be_is_refused() {
    let config = PoolConfig { capacity: 0, ..PoolConfig::default() };
    assert!(matches!(Mempool::new(eal(), &config), Err(Error::PoolSize { .. })));
    let config = PoolConfig { data_room: u16::MAX, ..PoolConfig::default() };
    assert!(matches!(Mempool::new(eal(), &config), Err(Error::PoolSize { .. })));
    let config = PoolConfig { capacity: 1 << 20, ..PoolConfig::default() };
    let error = Mempool::new(eal(), &config).unwrap_err();
    assert!(matches!(error, Error::PoolMemory { capacity: 1048576, .. }), "{error}");
}
