//! `make simulate`: the large simulation at length, with its progress, and least, median and most over the seeds.

use proa_tests::globe::{Size, chart, measure};
use std::time::Instant;

fn main() {
    let seeds =
        std::env::args().nth(1).and_then(|seeds| seeds.parse().ok()).unwrap_or(*Size::LARGE.seeds.end());
    let size = Size { seeds: 1..=seeds, ..Size::LARGE };
    let start = Instant::now();
    let table = measure(&size, |what| eprintln!("{:>5} s  {what}", start.elapsed().as_secs()));
    println!("{}\n{}", table.text(), table.spread());
    if let Some(path) = std::env::args().nth(2)
        && let Err(error) = std::fs::write(&path, chart(&table))
    {
        eprintln!("{path}: {error}");
        std::process::exit(1);
    }
}
