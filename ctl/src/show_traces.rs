//! Hop records in the form that people read.

use crate::liveness::Percentiles;
use crate::table::{Table, percent, thousands};
use crate::traces::{TraceCopy, TraceHop, TraceLink, TracePath, TracedPacket, Traces};

pub(crate) fn show_traces(traces: &Traces) -> String {
    let Traces { application, one_in, paths, hops, packets, missed } = traces;
    let mut text = match one_in {
        0 => format!("{application}: no packet from here carries records\n"),
        1 => format!("{application}: every packet from here carries records\n"),
        many => {
            format!("{application}: one in {} packets from here carries records\n", thousands((*many).into()))
        }
    };
    if *missed > 0 {
        text += &format!("records that could not be told: {}\n", thousands(*missed));
    }
    if paths.is_empty() {
        return text + "no record has come here yet\n";
    }
    text += "times in µs, percentiles 50 / 90 / 99; over links and paths: the fastest, which contains how far the two \
             clocks are apart, and what was above it\n\n";
    text += &show_paths(paths);
    text.push('\n');
    text += &show_hops(hops);
    for packet in packets {
        text.push('\n');
        text += &show_packet(packet);
    }
    text
}

fn show_paths(paths: &[TracePath]) -> String {
    let mut table = Table::new(&["from", "path", "won", "", "lost", "late", "won by", "fastest", "above"]);
    for path in paths {
        let all: u64 = paths.iter().filter(|other| other.source == path.source).map(|other| other.won).sum();
        table.row([
            path.source.clone(),
            path.path.to_string(),
            thousands(path.won),
            percent(path.won, all),
            thousands(path.lost),
            thousands(path.late),
            three(path.margin_us),
            fastest(&path.delay),
            three(path.delay.above_us),
        ]);
    }
    table.text()
}

fn show_hops(hops: &[TraceHop]) -> String {
    let heads = ["from", "path", "link", "copies", "fastest", "above", "in the node", "queue"];
    let mut table = Table::new(&heads);
    for hop in hops {
        table.row([
            hop.source.clone(),
            hop.path.to_string(),
            format!("{} → {}", hop.from, hop.node),
            thousands(hop.copies),
            fastest(&hop.link),
            three(hop.link.above_us),
            three(hop.transit_us),
            hop.transit_us.map_or("-".to_owned(), |_| hop.queue_max.to_string()),
        ]);
    }
    table.text()
}

fn show_packet(packet: &TracedPacket) -> String {
    let TracedPacket { source, stream, sequence, .. } = packet;
    let mut text = format!("packet {sequence} of stream {stream} from {source}\n");
    for copy in &packet.copies {
        let TraceCopy { path, outcome, behind_ns, delay_ns, records, .. } = copy;
        let behind = match behind_ns {
            0 => String::new(),
            _ => format!(" by {:.1}", *behind_ns as f64 / 1e3),
        };
        text += &format!("  path {path} {outcome}{behind}, {:.1} in all: {source}", *delay_ns as f64 / 1e3);
        for record in records {
            text += &format!(
                " ─{:.1}→ {} ({:.1}, {} before it)",
                record.link_ns as f64 / 1e3,
                record.node,
                f64::from(record.transit_ns) / 1e3,
                record.queue,
            );
        }
        text += if copy.overflow { " → … → here\n" } else { " → here\n" };
    }
    text
}

fn fastest(link: &TraceLink) -> String {
    link.fastest_us.map_or("-".to_owned(), |us| format!("{us:.0}"))
}

fn three(times: Option<Percentiles>) -> String {
    times.map_or("-".to_owned(), |Percentiles { p50, p90, p99 }| format!("{p50:.1} / {p90:.1} / {p99:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::TraceRecord;

    #[test]
    fn a_race_is_told_in_sum_and_packet_by_packet() {
        let times = Some(Percentiles { p50: 12.34, p90: 20.0, p99: 31.0 });
        let delay = TraceLink { fastest_us: Some(-512.4), above_us: times };
        let path = |path, won, lost| TracePath {
            path,
            source: "edge-1".to_owned(),
            won,
            lost,
            margin_us: times.filter(|_| won > 0),
            delay,
            ..TracePath::default()
        };
        let hop = TraceHop {
            path: 1,
            source: "edge-1".to_owned(),
            place: 1,
            from: "edge-1".to_owned(),
            node: "mid-1".to_owned(),
            copies: 1500,
            link: delay,
            transit_us: times,
            queue_max: 31,
        };
        let record = TraceRecord {
            node: "mid-1".to_owned(),
            link_ns: -77_000,
            transit_ns: 4_400,
            queue: 3,
            ..TraceRecord::default()
        };
        let won =
            TraceCopy { path: 1, outcome: "won".to_owned(), records: vec![record], ..TraceCopy::default() };
        let lost = TraceCopy {
            path: 2,
            outcome: "lost".to_owned(),
            behind_ns: 81_500,
            overflow: true,
            ..TraceCopy::default()
        };
        let packet =
            TracedPacket { source: "edge-1".to_owned(), copies: vec![won, lost], ..TracedPacket::default() };
        let traces = Traces {
            application: "web".to_owned(),
            one_in: 1000,
            paths: vec![path(1, 1500, 0), path(2, 500, 1500)],
            hops: vec![hop],
            packets: vec![packet],
            missed: 2,
        };
        let text = show_traces(&traces);
        for part in [
            "one in 1,000 packets",
            "could not be told: 2",
            "75.0 %",
            "12.3 / 20.0 / 31.0",
            "-512",
            "edge-1 → mid-1",
            "edge-1 ─-77.0→ mid-1 (4.4, 3 before it) → here",
            "path 2 lost by 81.5, 0.0 in all: edge-1 → … → here",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let none = show_traces(&Traces { paths: Vec::new(), one_in: 0, ..traces });
        assert!(none.contains("no packet from here") && none.contains("no record has come"), "{none}");
    }
}
