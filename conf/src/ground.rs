//! What paths run over, as far as it could be read: enough of a topology to plan paths and to check them.

use overlay::plan::Quality;
use overlay::topology::{Ground, Link, Node, NodeId, Region, RegionIndex, Risk, RiskIndex, Topology};

use crate::check::names::Links;
use crate::topology_file::TopologyFile;

/// Regions, links, risks and which regions have an intermediate; nothing else.
pub(crate) fn topology(file: &TopologyFile, links: &Links) -> Topology {
    let name = |name: &Option<crate::problems::At<String>>| {
        name.as_ref().map_or_else(|| "?".to_owned(), |name| name.value.clone())
    };
    let regions = file.regions.items.iter().map(|region| Region { name: name(&region.value.name) });
    let nodes = file.nodes.items.iter().zip(&links.node_regions).filter_map(|(node, region)| {
        Some(Node {
            name: name(&node.value.name),
            id: NodeId(node.value.id.as_ref().map_or(0, |id| id.value)),
            region: index((*region)?)?,
            roles: node.value.roles.as_ref()?.value,
            underlay: Vec::new(),
            workers: 1,
            nat_pool: Vec::new(),
            rss: None,
        })
    });
    Topology {
        regions: regions.collect(),
        nodes: nodes.collect(),
        ground: ground(file, links),
        ..Topology::default()
    }
}

/// Links and risks; what could not be read is left out.
pub(crate) fn ground(file: &TopologyFile, links: &Links) -> Ground {
    let mut ground = Ground {
        disjoint: file.disjoint.as_ref().map(|at| at.value).unwrap_or_default(),
        ..Ground::default()
    };
    let names = links.risks.names.iter();
    ground.risks = names.map(|name| Risk { name: name.clone(), regions: Vec::new() }).collect();
    for (position, risks) in links.risks.regions.iter().enumerate() {
        for risk in risks {
            if let (Some(risk), Some(region)) = (ground.risks.get_mut(*risk), index(position)) {
                risk.regions.push(region);
            }
        }
    }
    let all = file.links.items.iter().zip(&links.links).zip(&links.risks.links);
    for ((link, ends), risks) in all {
        let [Some(a), Some(b)] = ends.map(|end| index(end?)) else { continue };
        let Some(latency) = &link.value.latency_us else { continue };
        let loss_ppm = link.value.loss_ppm.as_ref().map_or(0, |loss| loss.value);
        let risks = risks.iter().filter_map(|risk| u16::try_from(*risk).ok().map(RiskIndex)).collect();
        let quality = Quality { latency_us: latency.value, loss_ppm };
        ground.links.push(Link { between: [a, b], quality, risks });
    }
    ground
}

/// The index of a region's position.
pub(crate) fn index(position: usize) -> Option<RegionIndex> {
    u16::try_from(position).ok().map(RegionIndex)
}
