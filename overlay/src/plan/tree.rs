//! Dijkstra's tree: how far every region is from one gateway.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::graph::{FAR, Graph, Scale, Weight};

/// By region: the weight of the best way to the gateway through transit regions, [`FAR`] without any.
pub(super) fn distances(graph: &Graph, gateway: usize, scale: Scale) -> Vec<Weight> {
    let mut distances = vec![FAR; graph.regions()];
    let mut open = BinaryHeap::new();
    distances[gateway] = 0;
    open.push(Reverse((0, gateway)));
    while let Some(Reverse((distance, region))) = open.pop() {
        if distance > distances[region] || region != gateway && !graph.is_transit(region) {
            continue;
        }
        for arc in graph.arcs(region).iter().filter(|arc| arc.weight != FAR) {
            let further = distance + scale.weigh(arc.weight);
            if further < distances[arc.to as usize] {
                distances[arc.to as usize] = further;
                open.push(Reverse((further, arc.to as usize)));
            }
        }
    }
    distances
}
