//! A port's queues: each has one user, and moves bursts of packets.

use crate::mbuf::{self, Mbuf};
use crate::port::Running;
use arrayvec::ArrayVec;
use dpdk_sys as sys;
use std::ptr;
use std::sync::Arc;

/// Packets a queue moves per call, at most.
pub const BURST: usize = 64;

/// A receive queue. It is its only user's: it can be sent to a thread, not shared.
#[derive(Debug)]
pub struct RxQueue {
    port: u16,
    queue: u16,
    segmented: u64,
    running: Arc<Running>,
}

/// A transmit queue. It is its only user's: it can be sent to a thread, not shared.
#[derive(Debug)]
pub struct TxQueue {
    port: u16,
    queue: u16,
    running: Arc<Running>,
}

impl RxQueue {
    /// Made once per queue of a port that runs.
    pub(crate) fn new(running: &Arc<Running>, queue: u16) -> RxQueue {
        RxQueue { port: running.port(), queue, segmented: 0, running: running.clone() }
    }

    /// Appends received packets to `packets`, as many as it has room for and at most [`BURST`]; returns how many.
    ///
    /// Packets in several segments are freed and counted ([`RxQueue::segmented`]). Leave room for 32 or more: drivers
    /// of fast NICs receive in groups, and nothing into less room than one group, which is 4 or 8.
    #[inline]
    pub fn burst<const N: usize>(&mut self, packets: &mut ArrayVec<Mbuf, N>) -> usize {
        self.burst_of(packets, BURST)
    }

    /// As [`RxQueue::burst`], but at most `count` packets.
    #[inline]
    pub fn burst_of<const N: usize>(&mut self, packets: &mut ArrayVec<Mbuf, N>, count: usize) -> usize {
        let before = packets.len();
        let room = (N - before).min(BURST).min(count);
        if room == 0 {
            return 0;
        }
        // SAFETY: `room` entries are free behind the first `before`; DPDK writes that many mbufs at most, which are
        // then owned by the vector. Mbuf is transparent over the pointer that DPDK writes. This value is the
        // queue's only user and keeps the port running.
        unsafe {
            let free: *mut *mut sys::rte_mbuf = packets.as_mut_ptr().add(before).cast();
            let received = usize::from(sys::proa_rx_burst(self.port, self.queue, free, room as u16));
            let mut whole = true;
            for index in 0..received {
                whole &= mbuf::segments(*free.add(index)) == 1;
            }
            let kept = if whole { received } else { self.drop_segmented(free, received) };
            packets.set_len(before + kept);
            kept
        }
    }

    /// Packets freed because they came in several segments, which never happens where a buffer holds a frame.
    pub fn segmented(&self) -> u64 {
        self.segmented
    }

    /// The queue's number within its port.
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// The port's number, as in [`Port::id`](crate::Port::id).
    pub fn port(&self) -> u16 {
        self.running.port()
    }

    /// Frees those of several segments and moves the others together; returns how many these are.
    ///
    /// # Safety
    /// `table` must hold `count` owned mbufs.
    #[cold]
    #[inline(never)]
    unsafe fn drop_segmented(&mut self, table: *mut *mut sys::rte_mbuf, count: usize) -> usize {
        let mut kept = 0;
        for index in 0..count {
            // SAFETY: the caller's entries; each is either moved to a place already read, or freed.
            unsafe {
                let mbuf = *table.add(index);
                if mbuf::segments(mbuf) == 1 {
                    *table.add(kept) = mbuf;
                    kept += 1;
                } else {
                    sys::proa_mbuf_free(mbuf);
                    self.segmented += 1;
                }
            }
        }
        kept
    }
}

impl TxQueue {
    /// Made once per queue of a port that runs.
    pub(crate) fn new(running: &Arc<Running>, queue: u16) -> TxQueue {
        TxQueue { port: running.port(), queue, running: running.clone() }
    }

    /// Sends the front packets of `packets`, at most [`BURST`], and removes those the device took; returns how many.
    /// The others stay, in order.
    #[inline]
    pub fn burst<const N: usize>(&mut self, packets: &mut ArrayVec<Mbuf, N>) -> usize {
        let count = packets.len();
        let offered = count.min(BURST);
        if offered == 0 {
            return 0;
        }
        // SAFETY: the first `offered` entries are owned mbufs, and Mbuf is transparent over the pointer that DPDK
        // expects. The device owns those it took: they leave the vector unfreed, the others move to the front.
        // This value is the queue's only user and keeps the port running.
        unsafe {
            let table: *mut *mut sys::rte_mbuf = packets.as_mut_ptr().cast();
            let sent = usize::from(sys::proa_tx_burst(self.port, self.queue, table, offered as u16));
            if sent != count {
                ptr::copy(table.add(sent), table, count - sent);
            }
            packets.set_len(count - sent);
            sent
        }
    }

    /// The queue's number within its port.
    pub fn index(&self) -> u16 {
        self.queue
    }

    /// The port's number, as in [`Port::id`](crate::Port::id).
    pub fn port(&self) -> u16 {
        self.running.port()
    }
}
