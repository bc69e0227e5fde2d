//! Streams in the form that people read.

use crate::response::{Stream, StreamPath, Worker};
use crate::table::{Table, thousands};

/// A line for each stream, and one for each of its paths.
pub(crate) fn show_streams<'a>(streams: impl Iterator<Item = &'a Stream>) -> String {
    let mut table = Table::new(&[
        "from",
        "stream",
        "path",
        "passed",
        "discarded",
        "out of order",
        "rogue",
        "lost",
        "resets",
        "worker",
        "",
    ]);
    let mut count = 0;
    for stream in streams {
        count += 1;
        let name = format!("{}/{}", stream.sending_worker, stream.bucket);
        let seal = if stream.sealed { " sealed" } else { "" };
        let counts = [stream.passed, stream.discarded, stream.out_of_order, stream.rogue, stream.lost];
        let known = stream.paths.iter().any(|path| path.silent);
        let alarm = if stream.latent && !known { "a path is silent that never came" } else { "" };
        let row =
            [stream.source.clone(), name + seal, String::new()].into_iter().chain(counts.map(thousands));
        table.row(row.chain([thousands(stream.resets), stream.worker.to_string(), alarm.to_owned()]));
        for StreamPath { path, passed, discarded, out_of_order, rogue, silent } in &stream.paths {
            let counts = [*passed, *discarded, *out_of_order, *rogue].map(thousands);
            let alarm = if *silent { "silent" } else { "" };
            let row = [String::new(), String::new(), path.to_string()].into_iter().chain(counts);
            table.row(row.chain(["", "", "", alarm].map(str::to_owned)));
        }
    }
    if count == 0 { String::new() } else { table.text() }
}

/// A line in the node's status where paths of streams are silent.
pub(crate) fn show_alarms(workers: &[Worker]) -> String {
    let latent: u64 = workers.iter().map(|worker| worker.latent_streams).sum();
    match latent {
        0 => String::new(),
        1 => {
            "ALARM: a path of 1 stream brings nothing while others do; see proactl stream show\n\n".to_owned()
        }
        _ => format!(
            "ALARM: a path of {} streams brings nothing while others do; see proactl stream show\n\n",
            thousands(latent)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_path_stands_out() {
        let path = |path, silent| StreamPath { path, silent, ..StreamPath::default() };
        let mut stream = Stream {
            source: "edge-1".to_owned(),
            passed: 12_345,
            paths: vec![path(1, false), path(2, true)],
            latent: true,
            ..Stream::default()
        };
        let text = show_streams([&stream].into_iter());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("12,345") && !lines[1].contains("silent"), "{text}");
        assert!(!lines[2].contains("silent") && lines[3].ends_with("silent"), "{text}");
        stream.paths.pop();
        assert!(show_streams([&stream].into_iter()).contains("that never came"));
        assert_eq!(show_streams([].into_iter()), "");
        let worker = |latent_streams| Worker { latent_streams, ..Worker::default() };
        assert_eq!(show_alarms(&[worker(0)]), "");
        assert!(show_alarms(&[worker(1), worker(2)]).contains("3 streams"));
    }
}
