//! What `auto` has chosen, as "path show" tells it.

use serde::{Deserialize, Serialize};

use crate::Path;

/// Answers [`Request::Paths`](crate::Request::Paths).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paths {
    /// What each path has done.
    pub paths: Vec<Path>,
    /// What was chosen between overlay and direct way, where that is weighed.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// What is sent beside packets, where that is adaptive.
    #[serde(default)]
    pub steps: Vec<Redundancy>,
}

/// What a node sends beside an application's packets to another node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Redundancy {
    /// The application's name.
    pub application: String,
    /// `to_origin` or `to_client`.
    pub direction: String,
    /// The node's name that packets go to.
    pub destination: String,
    /// `none`, `parity`, `copy` or `triple`.
    pub step: String,
    /// Why, in a few words.
    pub why: String,
    /// How often the step has changed since the start.
    pub changes: u64,
    /// How often congestion has ended redundancy.
    pub sheds: u64,
    /// What each path loses now, in the order in which packets take them, percent.
    pub loss_percent: Vec<f64>,
    /// What is expected to be left, percent.
    pub residual_percent: f64,
}

/// What a node has chosen for an application's packets to another node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The application's name.
    pub application: String,
    /// `to_origin` or `to_client`.
    pub direction: String,
    /// The node's name that packets go to.
    pub destination: String,
    /// The routing protocol that packets have now.
    pub routing: String,
    /// `overlay` or `direct`.
    pub chosen: String,
    /// Why, in a few words.
    pub why: String,
    /// How often the choice has changed since the start.
    pub changes: u64,
    /// The direct way.
    pub direct: Weighed,
    /// The overlay's way.
    pub overlay: Weighed,
}

/// A way as it was weighed last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// `unknown`, `dead` or `measured`.
    pub state: String,
    /// One way, ms.
    pub latency_ms: Option<f64>,
    /// Percent.
    pub loss_percent: Option<f64>,
    /// What it costs: latency, what losses cost, and the price that is set on the overlay, ms.
    pub cost_ms: Option<f64>,
}
