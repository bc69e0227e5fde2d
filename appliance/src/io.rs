//! Where a worker gets packets from and gives them to: a device's queues, or whatever a test puts there.

use arrayvec::ArrayVec;
use dpdk::{Mbuf, RxQueue, TxQueue};
use pipelines::{Burst, TX_MAX};

/// A source of frames.
pub trait Receive<B> {
    /// Appends at most `count` frames to `burst`, which has room for them; says how many.
    fn receive(&mut self, burst: &mut Burst<B>, count: usize) -> usize;

    /// Frames lost because they were unfit for a buffer.
    fn unfit(&self) -> u64 {
        0
    }
}

/// A sink of frames.
pub trait Transmit<B> {
    /// Takes frames from the front of `frames`, as many as it can at once; says how many.
    fn transmit(&mut self, frames: &mut ArrayVec<B, TX_MAX>) -> usize;
}

impl Receive<Mbuf> for RxQueue {
    #[inline(always)]
    fn receive(&mut self, burst: &mut Burst<Mbuf>, count: usize) -> usize {
        self.burst_of(burst, count)
    }

    fn unfit(&self) -> u64 {
        self.segmented()
    }
}

impl Transmit<Mbuf> for TxQueue {
    #[inline(always)]
    fn transmit(&mut self, frames: &mut ArrayVec<Mbuf, TX_MAX>) -> usize {
        self.burst(frames)
    }
}
