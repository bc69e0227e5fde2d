//! Reads `[liveness]` and `[quality]` of the topology file.

use overlay::topology::{Liveness, Probing};

use crate::problems::{At, Place, Problems, error, warning};
use crate::reader::{Item, List, Table, counted, list};
use crate::values::{boolean, integer};

/// Most lengths of probes.
const LENGTHS_MAX: usize = 8;

/// `[liveness]` as read.
#[derive(Clone, Debug)]
pub(crate) struct RawLiveness {
    pub(crate) enabled: bool,
    liveness: Liveness,
}

/// `[quality]` as read.
#[derive(Clone, Debug)]
pub(crate) struct RawQuality {
    pub(crate) enabled: bool,
    interval_ms: Option<At<u32>>,
    packet_bytes: Vec<u16>,
}

impl Default for RawLiveness {
    fn default() -> RawLiveness {
        let liveness = Liveness { interval_ms: 100, multiplier: 3, hold_down_ms: 1000, damping_seconds: 15 };
        RawLiveness { enabled: true, liveness }
    }
}

impl Default for RawQuality {
    fn default() -> RawQuality {
        RawQuality { enabled: true, interval_ms: None, packet_bytes: vec![128, 512, 1400] }
    }
}

pub(crate) fn liveness(t: &mut Table<'_>, p: &mut Problems) -> RawLiveness {
    let default = RawLiveness::default();
    let enabled = t.optional("enabled", p, boolean).map_or(default.enabled, |at| at.value);
    let mut number = |key, range, default| t.optional(key, p, integer(range)).map_or(default, |at| at.value);
    let interval_ms = number("interval_ms", 10..=10_000, default.liveness.interval_ms);
    let hold_down_ms = number("hold_down_ms", 0..=3_600_000, default.liveness.hold_down_ms);
    let damping_seconds = number("damping_seconds", 0..=3600, default.liveness.damping_seconds);
    let multiplier =
        t.optional("multiplier", p, multiplier).map_or(default.liveness.multiplier, |at| at.value);
    RawLiveness { enabled, liveness: Liveness { interval_ms, multiplier, hold_down_ms, damping_seconds } }
}

/// Packets in a row that must be missing.
fn multiplier(item: &Item<'_>, p: &mut Problems) -> Option<u8> {
    let multiplier = integer(1..=50)(item, p)?;
    if multiplier == 1 {
        warning(item.place, "with `multiplier = 1` a single lost packet takes a link down")
            .help(p, "use 3, as is usual");
    }
    Some(multiplier)
}

pub(crate) fn quality(t: &mut Table<'_>, p: &mut Problems) -> RawQuality {
    let default = RawQuality::default();
    RawQuality {
        enabled: t.optional("enabled", p, boolean).map_or(default.enabled, |at| at.value),
        interval_ms: t.optional("interval_ms", p, integer(10..=10_000)),
        packet_bytes: t.optional("packet_bytes", p, packet_bytes).map_or(default.packet_bytes, |at| at.value),
    }
}

/// Lengths of the packets inside probes: IP, UDP and a test packet at least.
fn packet_bytes(item: &Item<'_>, p: &mut Problems) -> Option<Vec<u16>> {
    let lengths: List<u16> = list(LENGTHS_MAX, integer(92..=9000))(item, p)?;
    if lengths.items.is_empty() && lengths.complete {
        error(item.place, "`packet_bytes` is empty")
            .help(p, "write packet_bytes = [128, 512, 1400], or leave it out");
        return None;
    }
    Some(lengths.items.iter().map(|at| at.value).collect())
}

/// What nodes are to do, and what of it does not go together.
pub(crate) fn build(liveness: &RawLiveness, quality: &RawQuality) -> (Option<Liveness>, Option<Probing>) {
    let watched = liveness.enabled.then_some(liveness.liveness);
    let measured = quality.enabled.then(|| Probing {
        interval_ms: quality.interval_ms.as_ref().map_or(liveness.liveness.interval_ms, |at| at.value),
        packet_bytes: quality.packet_bytes.clone(),
    });
    (watched, measured)
}

/// Tells what does not go together.
pub(crate) fn check(liveness: &RawLiveness, quality: &RawQuality, p: &mut Problems) {
    let Some(interval) = &quality.interval_ms else { return };
    let (slow, quick) = (interval.value, liveness.liveness.interval_ms);
    if liveness.enabled && quality.enabled && slow > quick {
        let place: Place = interval.place;
        warning(
            place,
            format!(
                "a link is dead after {}, a path that fails beyond its first link only after {}",
                counted_ms(quick, liveness.liveness.multiplier),
                counted_ms(slow, liveness.liveness.multiplier)
            ),
        )
        .help(p, "leave `interval_ms` of [quality] out: it is then that of [liveness]");
    }
}

fn counted_ms(interval_ms: u32, multiplier: u8) -> String {
    counted((interval_ms * u32::from(multiplier)) as usize, "millisecond")
}
