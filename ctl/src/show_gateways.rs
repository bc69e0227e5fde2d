//! Gateways that stand in for each other, in the form that people read.

use crate::gateways::Gateways;
use crate::table::{Table, thousands};

pub(crate) fn show_gateways(gateways: &Gateways) -> String {
    if gateways.blocks.is_empty() {
        return "no gateway stands in for another here: the topology has no [[takeover]]\n".to_owned();
    }
    let mut table =
        Table::new(&["pool of", "addresses", "held by", "revision", "here", "lease ms", "voters heard"]);
    for block in &gateways.blocks {
        let heard = block.voters.iter().filter(|voter| voter.heard_ms.is_some_and(|ms| ms < 5_000)).count();
        let holder = if block.revision == 0 { "-".to_owned() } else { block.holder.clone() };
        table.row([
            block.home.clone(),
            block.addresses.join(", "),
            holder,
            block.revision.to_string(),
            block.phase.clone().unwrap_or_else(|| "-".to_owned()),
            block.lease_ms.map_or("-".to_owned(), |ms| ms.to_string()),
            format!("{heard} of {}", block.voters.len()),
        ]);
    }
    let mut text = table.text();
    if gateways.draining == Some(true) {
        text += "\nthis gateway drains: it takes no pool until `proactl gateway resume`\n";
    }
    text += &format!(
        "\nbindings known: {}; records sent {}, taken {}, refused {}\n",
        thousands(gateways.bindings),
        thousands(gateways.bindings_sent),
        thousands(gateways.bindings_taken),
        thousands(gateways.bindings_refused)
    );
    if gateways.draining.is_some() {
        text += &format!(
            "handed over: {} sessions told of, {} heard of; {} late packets passed on\n",
            thousands(gateways.sessions_told),
            thousands(gateways.sessions_stored),
            thousands(gateways.passed_on)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateways::{Block, Voter};

    #[test]
    fn a_pool_without_a_holder_and_a_drain_are_seen() {
        let voters = vec![Voter { node: "edge-1".to_owned(), heard_ms: Some(20) }, Voter::default()];
        let held = Block {
            home: "gateway-1".to_owned(),
            addresses: vec!["10.9.0.100 to 10.9.0.103".to_owned()],
            holder: "gateway-2".to_owned(),
            revision: 1_700_000_000_123,
            phase: Some("holding".to_owned()),
            lease_ms: Some(700),
            voters,
        };
        let lost = Block { home: "gateway-2".to_owned(), ..Block::default() };
        let gateways = Gateways { blocks: vec![held, lost], draining: Some(true), ..Gateways::default() };
        let text = show_gateways(&gateways);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("gateway-2") && lines[1].ends_with("1 of 2"), "{text}");
        assert!(lines[2].contains(" -  "), "{text}");
        assert!(text.contains("this gateway drains") && text.contains("0 late packets"));
        assert!(show_gateways(&Gateways::default()).contains("no [[takeover]]"));
    }
}
