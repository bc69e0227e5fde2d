//! Path planning: sets of paths that no single failure stops, and proofs of it that anyone can check.
//!
//! A set's paths lead over regions, from an edge region to a gateway region, and serve both directions. No two share
//! an intermediate region, nor a *risk*: a group of links and regions that one event stops. The two ends
//! are in every path, so what stops an end is no matter of paths: a risk that an end region itself is in does not count for its
//! sets. A risk of links only counts everywhere, at the ends too: two links out of one building through one duct are shared.
//!
//! - [`Quality`]: what a link costs.
//! - [`Graph`], [`Solver`], [`Planner`]: from links to paths of the least total cost, and again when a link changes.
//! - [`Certificate`]: what a set of paths claims. [`verify`] holds it against the topology, without planning.
//!
//! Without shared risks, and within the hop limit, plans are exact: as many paths as exist, of the least total cost. Risks at the
//! ends alone are exact as well. Beyond that the search may miss sets; [`Plan::proven`] says whether it can have.

mod certificate;
mod cost;
mod ends;
mod flow;
mod graph;
mod planner;
mod search;
mod set;
mod tree;
mod violation;

pub use certificate::{Certificate, Checker, Proof, Refused, verify};
pub(crate) use cost::loss_us;
pub use cost::{LATENCY_US_MAX, LOSS_PPM_MAX, LOSS_WEIGHT_US, Quality};
pub use graph::{Graph, GraphError, REGIONS_MAX};
pub use planner::Planner;
pub use search::{PATHS_MAX, Solver, VIA_MAX};
pub use set::{Alarm, Plan, Route};
pub use violation::Violation;
