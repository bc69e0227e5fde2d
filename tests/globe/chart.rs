//! The result table as a figure: SVG, drawn by hand.

use super::contender::CONTENDERS;
use super::score::Score;
use super::table::{COLUMNS, Table};
use std::fmt::Write;

const WIDTH: f64 = 980.0;
const PANEL_HEIGHT: f64 = 230.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 50.0;
const BETWEEN: f64 = 58.0;
/// Colours that people tell apart who see fewer of them (Okabe and Ito), and some more.
const COLOURS: [&str; 12] = [
    "#000000", "#999999", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#7a1f00", "#0072b2", "#e69f00",
    "#b8a900", "#5a3fa0", "#00707a",
];

/// One figure of all cells over the columns.
struct Panel {
    title: &'static str,
    value: fn(&Score) -> f64,
    is_logarithmic: bool,
    /// What the axis spans at least.
    least: f64,
    most: f64,
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "residual loss, %",
        value: |score| score.residual() * 100.0,
        is_logarithmic: true,
        least: 0.001,
        most: 10.0,
    },
    Panel {
        title: "latency, 99th percentile, ms",
        value: |score| score.latency_ms(99),
        is_logarithmic: false,
        least: 0.0,
        most: 10.0,
    },
    Panel {
        title: "bytes out of the sender ÷ bytes that came to it",
        value: |score| score.bandwidth(),
        is_logarithmic: false,
        least: 0.0,
        most: 3.0,
    },
];

/// The figure of a table.
pub fn chart(table: &Table) -> String {
    let height = TOP + PANELS.len() as f64 * (PANEL_HEIGHT + BETWEEN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">Routing protocols over 1,000 nodes, by what each path loses</text>\n"
    );
    for (number, panel) in PANELS.iter().enumerate() {
        let top = TOP + number as f64 * (PANEL_HEIGHT + BETWEEN);
        draw(&mut svg, panel, table, top);
    }
    legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, table: &Table, top: f64) {
    let values: Vec<Vec<f64>> = table.cells.iter().map(|row| row.iter().map(panel.value).collect()).collect();
    let most = values.iter().flatten().fold(panel.most, |most, value| most.max(*value * 1.05));
    let place = |value: f64| {
        let share = if panel.is_logarithmic {
            (value.max(panel.least) / panel.least).ln() / (most / panel.least).ln()
        } else {
            (value - panel.least) / (most - panel.least)
        };
        top + PANEL_HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    };
    // Writing to a string can not fail, here and below.
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"bold\">{}</text>",
        top - 8.0,
        panel.title
    );
    for tick in ticks(panel, most) {
        let y = place(tick);
        let name = if panel.is_logarithmic && tick <= panel.least {
            format!("≤ {tick}")
        } else {
            format!("{tick}")
        };
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for (at, column) in COLUMNS.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            across(at, 0),
            top + PANEL_HEIGHT + 18.0,
            column.name
        );
    }
    for (contender, row) in values.iter().enumerate() {
        let colour = COLOURS[contender % COLOURS.len()];
        let base = top + PANEL_HEIGHT;
        for (at, value) in row.iter().enumerate() {
            let (x, y) = (across(at, contender), place(*value));
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{base:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"5\"/>\
                 <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
    }
}

/// Where a protocol's bar stands in a column.
fn across(column: usize, contender: usize) -> f64 {
    let width = (WIDTH - LEFT - RIGHT) / COLUMNS.len() as f64;
    let within = if contender == 0 && CONTENDERS.len() < 2 { 0.5 } else { contender as f64 };
    LEFT + width * column as f64 + width * (0.12 + 0.76 * within / CONTENDERS.len() as f64)
}

fn ticks(panel: &Panel, most: f64) -> Vec<f64> {
    if panel.is_logarithmic {
        let powers = (0..12).map(|power| panel.least * 10f64.powi(power));
        // As they are written, not as they are computed.
        return powers.take_while(|tick| *tick <= most).map(|tick| (tick * 1e6).round() / 1e6).collect();
    }
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];
    let step = step.into_iter().find(|step| (most - panel.least) / step <= 6.0).unwrap_or(500.0);
    (0..20).map(|at| panel.least + step * f64::from(at)).take_while(|tick| *tick <= most).collect()
}

fn legend(svg: &mut String) {
    for (at, contender) in CONTENDERS.iter().enumerate() {
        let (x, y) = (WIDTH - RIGHT + 24.0, TOP + 14.0 + 20.0 * at as f64);
        let colour = COLOURS[at % COLOURS.len()];
        let _ = writeln!(
            svg,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{}</text>",
            x + 12.0,
            y + 4.0,
            contender.name
        );
    }
}
