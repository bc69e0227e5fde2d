//! The result table: what each protocol leaves, how long it takes and what it spends, by how lines lose.

use super::contender::CONTENDERS;
use super::layout::Overlay;
use super::loss::Weather;
use super::score::Score;
use super::world::World;
use crate::sim::{MILLISECOND, SECOND};
use std::fmt::Write;
use std::ops::RangeInclusive;

/// What waiting in queues adds on average, parts per thousand of a line's latency.
const WAITING_PERMILLE: u32 = 20;
/// How long packets may be under way after the last one was sent, ns.
const DRAIN_NS: u64 = 2 * SECOND;

/// How lines out of the sender lose: so each path loses as much, whichever it is, and none knows of the others.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The losses.
    pub weather: fn() -> Weather,
}

/// All of them, in the order of the table.
pub const COLUMNS: &[Column] = &[
    Column { name: "none", weather: || Weather::Fair },
    Column { name: "1 %", weather: || Weather::Random(0.01) },
    Column { name: "5 %", weather: || Weather::Random(0.05) },
    Column { name: "10 %", weather: || Weather::Random(0.10) },
    Column { name: "1 % bursts", weather: || Weather::bursts(0.01) },
    Column { name: "5 % bursts", weather: || Weather::bursts(0.05) },
    Column { name: "10 % bursts", weather: || Weather::bursts(0.10) },
    // A fifth of the time, for a second on average, a tenth of the packets.
    Column { name: "2 % spells", weather: || Weather::spells(0.02, SECOND as f64, 0.1) },
];

/// How much is simulated.
#[derive(Clone, Debug)]
pub struct Size {
    /// An overlay for each.
    pub seeds: RangeInclusive<u64>,
    /// Flows of each overlay.
    pub flows: usize,
    /// Between two packets of a flow, ns.
    pub every_ns: u64,
    /// How long they are sent, ns.
    pub lasts_ns: u64,
}

impl Size {
    /// What the tests run.
    pub const SMALL: Size = Size { seeds: 1..=2, flows: 2, every_ns: 2 * MILLISECOND, lasts_ns: 12 * SECOND };
    /// What `make simulate` runs.
    pub const LARGE: Size = Size { seeds: 1..=10, flows: 3, every_ns: MILLISECOND, lasts_ns: 30 * SECOND };
}

/// What became of a protocol's packets in one column.
pub type Cell = Score;

/// Results.
pub struct Table {
    /// By contender, then by column.
    pub cells: Vec<Vec<Cell>>,
    /// The same for each seed, which [`Table::cells`] sums up.
    pub by_seed: Vec<Vec<Vec<Cell>>>,
}

/// Runs everything; `progress` is told what has been done.
pub fn measure(size: &Size, mut progress: impl FnMut(&str)) -> Table {
    let empty = || vec![vec![Score::new(0); COLUMNS.len()]; CONTENDERS.len()];
    let mut table = Table { cells: empty(), by_seed: Vec::new() };
    for seed in size.seeds.clone() {
        let mut of_seed = empty();
        for (at, column) in COLUMNS.iter().enumerate() {
            progress(&format!("seed {seed} of {}, loss: {}", size.seeds.end(), column.name));
            let scores = run(seed, size, (column.weather)(), at as u64);
            for (contender, score) in scores.iter().enumerate() {
                table.cells[contender][at].merge(score);
                of_seed[contender][at].merge(score);
            }
        }
        table.by_seed.push(of_seed);
    }
    table
}

fn run(seed: u64, size: &Size, weather: Weather, column: u64) -> Vec<Score> {
    let overlay = Overlay::draw(seed, size.flows, CONTENDERS);
    let mut world = World::new(overlay, seed << 8 | column, None);
    for flow in world.overlay.flows.clone() {
        world.conditions.leaving.insert(flow.edge, weather);
    }
    world.conditions.waiting_permille = WAITING_PERMILLE;
    world.send(size.every_ns, size.lasts_ns);
    world.run_until(size.lasts_ns + DRAIN_NS);
    world.check_once();
    world.scores
}

/// One figure of a cell.
type Figure = (&'static str, fn(&Score) -> String);

/// What is told of each cell.
const FIGURES: [Figure; 5] = [
    ("residual loss, %", |score| format!("{:.3}", score.residual() * 100.0)),
    ("latency, median, ms", |score| format!("{:.1}", score.latency_ms(50))),
    ("latency, 99th percentile, ms", |score| format!("{:.1}", score.latency_ms(99))),
    ("bytes out of the sender ÷ bytes that came to it", |score| format!("{:.2}", score.bandwidth())),
    ("bytes over all lines ÷ bytes that came to the sender", |score| {
        format!("{:.2}", score.line_bandwidth())
    }),
];

impl Table {
    /// The cell of a protocol's contender and a column's name.
    ///
    /// # Panics
    /// Where there is none.
    pub fn cell(&self, contender: &str, column: &str) -> &Cell {
        let row = CONTENDERS.iter().position(|one| one.name == contender).expect("a contender");
        let at = COLUMNS.iter().position(|one| one.name == column).expect("a column");
        &self.cells[row][at]
    }

    /// All figures, as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, figure) in FIGURES {
            head(&mut text, name);
            for (contender, row) in CONTENDERS.iter().zip(&self.cells) {
                let cells: String = row.iter().map(|cell| format!("{:>13}", figure(cell))).collect();
                // Writing to a string can not fail.
                let _ = writeln!(text, "{:<14}{cells}", contender.name);
            }
        }
        text
    }

    /// Least, median and most over the seeds, as text.
    pub fn spread(&self) -> String {
        let mut text = String::new();
        for (name, figure) in FIGURES {
            head(&mut text, &format!("{name}: least, median, most of {} overlays", self.by_seed.len()));
            for (row, contender) in CONTENDERS.iter().enumerate() {
                let _ = write!(text, "{:<14}", contender.name);
                for column in 0..COLUMNS.len() {
                    let of = |table: &Vec<Vec<Cell>>| figure(&table[row][column]);
                    let mut all: Vec<String> = self.by_seed.iter().map(of).collect();
                    all.sort_by(|a, b| number(a).total_cmp(&number(b)));
                    let (least, most) = (all.first(), all.last());
                    let middle = all.get(all.len() / 2);
                    for (at, shown) in [least, middle, most].into_iter().flatten().enumerate() {
                        let _ = write!(text, "{}{shown:>7}", if at == 0 { "  " } else { " " });
                    }
                }
                text.push('\n');
            }
        }
        text
    }
}

fn head(text: &mut String, name: &str) {
    let wide = name.contains("least");
    let columns: String = COLUMNS
        .iter()
        .map(|column| if wide { format!("  {:^23}", column.name) } else { format!("{:>13}", column.name) })
        .collect();
    let _ = write!(text, "{}{name}\n\n{:<14}{columns}\n", if text.is_empty() { "" } else { "\n" }, "");
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}
