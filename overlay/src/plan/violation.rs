//! What a certificate can be wrong in.

use crate::disjoint::Shared;
use crate::topology::{PathId, RegionIndex, RiskIndex};

/// One thing that is wrong with a path set or with its certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The certificate is for other ends or other paths than the set has.
    #[error("the certificate is for other paths")]
    OtherPaths,
    /// No path at all.
    #[error("no path")]
    NoPath,
    /// The ends are one region, or none of the topology.
    #[error("its ends are not two regions")]
    Ends,
    /// Two paths have one number.
    #[error("two paths have the number {}", .0.0)]
    SameNumber(PathId),
    /// A path without a region between its ends.
    #[error("path {} has no region between its ends", .0.0)]
    Direct(PathId),
    /// More regions than the hop limit allows.
    #[error("path {} leads through more regions than the hop limit allows", .0.0)]
    TooLong(PathId),
    /// A path through one of its own ends.
    #[error("path {} passes through its own end", .0.0)]
    OwnEnd(PathId),
    /// A path through a region twice.
    #[error("path {} passes through region {} twice", .0.0, .1.0)]
    Twice(PathId, RegionIndex),
    /// A path through a region that is none, or has no intermediate.
    #[error("path {} leads through region {}, which has no intermediate", .0.0, .1.0)]
    NoIntermediate(PathId, RegionIndex),
    /// A hop where the topology, which names links, has none.
    #[error("path {} leads from region {} to region {}, which no link joins", .0.0, .1.0, .2.0)]
    NoLink(PathId, RegionIndex, RegionIndex),
    /// The certificate states other risks than the path's links and regions have.
    #[error("the certificate states other risks of path {} than it has", .0.0)]
    OtherRisks(PathId),
    /// The certificate states another cost than the links add up to.
    #[error("the certificate states a cost that its links do not add up to")]
    OtherCost,
    /// Paths share an intermediate region.
    #[error("paths share region {}", .0.shared.0)]
    SharedRegion(Shared<RegionIndex>),
    /// Paths share a risk.
    #[error("paths share risk {}", .0.shared.0)]
    SharedRisk(Shared<RiskIndex>),
}

impl Violation {
    /// Whether the paths work all the same, but may fail together: what [`crate::topology::Disjoint::Warn`] accepts.
    pub fn may_be_accepted(&self) -> bool {
        matches!(self, Violation::NoLink(..) | Violation::SharedRegion(_) | Violation::SharedRisk(_))
    }
}
