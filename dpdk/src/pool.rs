//! One thread's way to a mempool: a stash of mbufs, filled and emptied in bulk.

use crate::mbuf::{HEADROOM, Mbuf, prefetch};
use crate::mempool::Mempool;
use dpdk_sys as sys;
use packet::{BufPool, PacketBuf};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Mbufs a [`Pool`] keeps at hand, at most.
pub const STASH: usize = 64;
/// Mbufs moved at once between the stash and the mempool.
const BULK: usize = STASH / 2;

/// One thread's handle to a [`Mempool`], with a stash of up to [`STASH`] mbufs.
///
/// Taking and giving back single mbufs touches DPDK once per 32. The stash is last in, first out, so what comes
/// out is what the caches still hold. Dropping the pool gives the stash back.
#[derive(Debug)]
pub struct Pool {
    /// The first `len` hold mbufs of `mempool`, at rest.
    stash: [MaybeUninit<NonNull<sys::rte_mbuf>>; STASH],
    len: usize,
    raw: NonNull<sys::rte_mempool>,
    mempool: Mempool,
}

// SAFETY: the stash's mbufs belong to this value alone, and mempools are shared between threads.
unsafe impl Send for Pool {}

impl Pool {
    /// A pool with an empty stash.
    pub fn new(mempool: &Mempool) -> Pool {
        Pool { stash: [MaybeUninit::uninit(); STASH], len: 0, raw: mempool.raw(), mempool: mempool.clone() }
    }

    /// Mbufs that this pool could hand out now: those of the mempool and of its own stash.
    /// Slow: not for each packet.
    pub fn available(&self) -> usize {
        self.mempool.available() + self.len
    }

    /// Mbufs at hand in the stash.
    pub fn stashed(&self) -> usize {
        self.len
    }

    /// The shared pool behind this one.
    pub fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// Gives the stash back to the mempool, for other threads to use.
    pub fn flush(&mut self) {
        self.give(self.len);
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self) -> bool {
        // SAFETY: the stash is empty and has room for a bulk; DPDK writes that many pointers at most.
        let taken = unsafe {
            sys::proa_pool_take(self.raw.as_ptr(), self.stash.as_mut_ptr().cast(), BULK as u32) as usize
        };
        self.len = taken;
        for entry in &self.stash[..taken] {
            // SAFETY: DPDK has written these.
            let mbuf = unsafe { entry.assume_init() }.as_ptr();
            prefetch(mbuf);
            // Where a packet's data will lie, and the headers that are put in front of it.
            let data = mbuf.cast::<u8>().wrapping_add(sys::PROA_MBUF_SIZE as usize + HEADROOM);
            prefetch(data.wrapping_sub(128));
            prefetch(data.wrapping_sub(64));
            prefetch(data);
        }
        taken > 0
    }

    /// Gives the newest `count` mbufs of the stash to the mempool: the next to be received into.
    fn give(&mut self, count: usize) {
        self.len -= count;
        // SAFETY: these entries hold mbufs of this mempool at rest, and are no longer counted as the stash's.
        unsafe {
            sys::proa_pool_give(self.raw.as_ptr(), self.stash[self.len..].as_mut_ptr().cast(), count as u32)
        }
    }

    #[cold]
    #[inline(never)]
    fn overflow(&mut self) {
        self.give(BULK);
    }

    /// An mbuf as it was left at rest.
    #[inline(always)]
    fn take(&mut self) -> Option<Mbuf> {
        if self.len == 0 && !self.refill() {
            return None;
        }
        self.len -= 1;
        // SAFETY: the first `len` entries hold mbufs that nothing else refers to; this one is no longer counted.
        Some(unsafe { Mbuf::from_raw(self.stash[self.len].assume_init()) })
    }

    /// The rest of [`BufPool::copy_behind`], of a packet that is not short.
    #[cold]
    #[inline(never)]
    fn fill_long_behind(&mut self, mut copy: Mbuf, source: &Mbuf, before: usize) -> Option<Mbuf> {
        copy.reset();
        if copy.fill_from(source).and_then(|()| copy.prepend(before)).is_err() {
            self.free(copy);
            return None;
        }
        Some(copy)
    }
}

impl BufPool for Pool {
    type Buf = Mbuf;

    #[inline(always)]
    fn alloc(&mut self) -> Option<Mbuf> {
        let mut mbuf = self.take()?;
        mbuf.reset();
        Some(mbuf)
    }

    #[inline(always)]
    fn copy_behind<const N: usize>(&mut self, source: &Mbuf) -> Option<Mbuf> {
        let mut copy = self.take()?;
        if copy.fill_behind(source, N) { Some(copy) } else { self.fill_long_behind(copy, source, N) }
    }

    #[inline(always)]
    fn free(&mut self, buf: Mbuf) {
        if !buf.is_plain(self.raw) {
            // Another pool's, or one that shares its data: DPDK sorts it out.
            drop(buf);
            return;
        }
        if self.len == STASH {
            self.overflow();
        }
        self.stash[self.len] = MaybeUninit::new(buf.into_raw());
        self.len += 1;
    }

    #[inline(always)]
    fn copy(&mut self, source: &Mbuf) -> Option<Mbuf> {
        let mut copy = self.alloc()?;
        if copy.fill_from(source).is_err() {
            self.free(copy);
            return None;
        }
        Some(copy)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.flush();
    }
}
