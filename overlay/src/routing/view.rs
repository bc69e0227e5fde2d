//! What a node knows of links at a time.

use std::collections::BTreeMap;

use crate::plan::Quality;
use crate::topology::RegionIndex;

/// One direction of a link between two regions, as nodes have told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// No node there reaches one here.
    Down,
    /// Measured: the latency, and the loss in this direction.
    Measured(Quality),
}

/// What is known of links between regions, each direction for itself. An empty one knows nothing: then what is
/// configured counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkView {
    ways: BTreeMap<(RegionIndex, RegionIndex), Way>,
}

impl LinkView {
    /// Takes over what was told of a direction.
    pub fn set(&mut self, from: RegionIndex, to: RegionIndex, way: Way) {
        self.ways.insert((from, to), way);
    }

    /// What was told of a direction; none where nothing was.
    pub fn get(&self, from: RegionIndex, to: RegionIndex) -> Option<Way> {
        self.ways.get(&(from, to)).copied()
    }

    /// Everything that was told, in the order of regions.
    pub fn iter(&self) -> impl Iterator<Item = (RegionIndex, RegionIndex, Way)> + '_ {
        self.ways.iter().map(|((from, to), way)| (*from, *to, *way))
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }
}
