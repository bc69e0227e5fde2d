//! Links in the form that people read.

use crate::links::{Links, ToldLink};
use crate::liveness::{Neighbor, Percentiles};
use crate::show::duration;
use crate::table::{Table, thousands};

pub(crate) fn show_links(links: &Links, all: bool) -> String {
    if all { told(links) } else { own(&links.links) }
}

fn own(links: &[Neighbor]) -> String {
    if links.is_empty() {
        return "none\n".to_owned();
    }
    let mut table = Table::new(&[
        "node",
        "address",
        "state",
        "since",
        "deaths",
        "mtu",
        "probes",
        "lost there",
        "lost back",
        "now",
        "round trip p50/p90/p99",
        "variation there",
        "variation back",
    ]);
    for link in links {
        let mtu = if link.mtu == 0 { "-".to_owned() } else { link.mtu.to_string() };
        let mut row = vec![
            link.node.clone(),
            link.address.to_string(),
            link.state.clone(),
            duration(link.since_ms / 1000),
            thousands(link.deaths),
            mtu,
        ];
        let quality = link.quality.as_ref();
        let loss = |percent: Option<f64>| percent.map_or("-".to_owned(), |percent| format!("{percent:.2} %"));
        row.push(quality.map_or("-".to_owned(), |quality| thousands(quality.probes)));
        row.push(loss(quality.and_then(|quality| quality.loss_forward_percent)));
        row.push(loss(quality.and_then(|quality| quality.loss_backward_percent)));
        row.push(match link.now {
            Some(now) => format!("{:.2} ms, {:.1} %", f64::from(now.latency_us) / 1000.0, now.loss_percent),
            None => "-".to_owned(),
        });
        row.push(times(quality.and_then(|quality| quality.round_trip_us)));
        row.push(times(quality.and_then(|quality| quality.variation_forward_us)));
        row.push(times(quality.and_then(|quality| quality.variation_backward_us)));
        table.row(row);
    }
    table.text()
}

fn told(links: &Links) -> String {
    let flood = &links.flood;
    let mut text = format!(
        "{} records held; {} written here, {} taken, {} known already, {} forgotten; {} messages of {} bytes sent\n\n",
        thousands(flood.records),
        thousands(flood.originated),
        thousands(flood.taken),
        thousands(flood.known),
        thousands(flood.aged),
        thousands(flood.sent),
        thousands(flood.sent_bytes),
    );
    let mut table = Table::new(&["node", "neighbour", "ip", "state", "latency", "lost there", "said"]);
    for link in &links.overlay {
        let ToldLink { node, neighbor, version, up, latency_us, loss_percent, age_ms } = link;
        table.row([
            node.clone(),
            neighbor.clone(),
            version.to_string(),
            if *up { "up" } else { "down" }.to_owned(),
            latency_us.map_or("-".to_owned(), |us| format!("{:.2} ms", f64::from(us) / 1000.0)),
            loss_percent.map_or("-".to_owned(), |percent| format!("{percent:.2} %")),
            duration(age_ms / 1000) + " ago",
        ]);
    }
    text += &table.text();
    for rejection in &flood.rejected {
        text += &format!("\nnot taken, {}: {}", rejection.reason, thousands(rejection.messages));
    }
    text + if flood.rejected.is_empty() { "" } else { "\n" }
}

fn times(times: Option<Percentiles>) -> String {
    let ms = |us: f64| format!("{:.2}", us / 1000.0);
    times.map_or("-".to_owned(), |times| format!("{}/{}/{} ms", ms(times.p50), ms(times.p90), ms(times.p99)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_is_seen_and_what_was_refused_is_told() {
        let told = ToldLink { node: "mid-1".to_owned(), neighbor: "gw".to_owned(), ..ToldLink::default() };
        let good = ToldLink { latency_us: Some(12_340), loss_percent: Some(1.5), up: true, ..told.clone() };
        let mut links = Links { overlay: vec![told, good], ..Links::default() };
        links.flood.rejected = vec![crate::Rejection { reason: "forged".to_owned(), messages: 7 }];
        let text = show_links(&links, true);
        assert!(text.contains("down") && text.contains("12.34 ms") && text.contains("1.50 %"), "{text}");
        assert!(text.contains("not taken, forged: 7"), "{text}");
        assert_eq!(show_links(&links, false), "none\n");
    }
}
