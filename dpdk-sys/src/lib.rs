//! Raw bindings to DPDK: the functions of the C shim and the layout of an mbuf.
//!
//! Everything here is what `shim.h` declares, and `shim.h` says what it means. Use the crate `dpdk`, which is
//! safe.
#![no_std]
#![allow(missing_docs, non_camel_case_types, non_upper_case_globals, clippy::all)]

use core::marker::{PhantomData, PhantomPinned};

/// DPDK's packet buffer. Its fields move between releases: read them at the offsets `PROA_MBUF_*`.
#[repr(C)]
pub struct rte_mbuf {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

/// DPDK's pool of fixed-size objects.
#[repr(C)]
pub struct rte_mempool {
    opaque: [u8; 0],
    marker: PhantomData<(*mut u8, PhantomPinned)>,
}

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// The layout the Rust side was compiled with, in the order of [`proa_layout`].
pub const LAYOUT: [proa_layout; 14] = [
    PROA_MBUF_SIZE,
    PROA_MBUF_BUF_ADDR,
    PROA_MBUF_DATA_OFF,
    PROA_MBUF_REFCNT,
    PROA_MBUF_NB_SEGS,
    PROA_MBUF_PORT,
    PROA_MBUF_OL_FLAGS,
    PROA_MBUF_PACKET_TYPE,
    PROA_MBUF_PKT_LEN,
    PROA_MBUF_DATA_LEN,
    PROA_MBUF_VLAN_TCI,
    PROA_MBUF_BUF_LEN,
    PROA_MBUF_POOL,
    PROA_MBUF_NEXT,
];
