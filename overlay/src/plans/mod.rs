//! Live planning: path sets that follow the links as they are, the same on every node.
//!
//! Each planned set has one owner, the live gateway node with the lowest number in its gateway region. The owner plans
//! again when links change ([`Replanner`]), with hysteresis, and says what it has planned in a record of link state
//! ([`Paths`]). Every node verifies what it hears, and installs it ([`Plans`]). [`Planning`] puts it together:
//!
//! ```text
//!   heard ──────────► taken from others ──────────► sent by ─────────────► taken from others, no longer sent
//!            at once                     SPREAD_MS            a newer plan    DRAIN_MS
//! ```
//!
//! So a path is known everywhere before anybody sends over it, and is known still while what was sent is under way. A path's
//! number follows from the names of the regions along it, so no two nodes ever mean different ways by one number. If the owner dies, the
//! last plan stays in force until the next owner has another.

mod in_force;
mod number;
mod paths;
mod planning;
mod replanner;

pub use in_force::{Ends, Plans, Refused};
pub use number::{NUMBER_MIN, number};
pub use paths::{Paths, fingerprint};
pub use planning::{Counters, Planning};
pub use replanner::Replanner;

/// How long a new plan is known before it is sent by, ms.
pub const SPREAD_MS: u64 = 1_500;
/// How long an old plan is taken from others, ms.
pub const DRAIN_MS: u64 = 10_000;
