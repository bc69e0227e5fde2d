//! Path sets that are planned.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use overlay::plan;
use overlay::topology::Topology;
use proa_conf::{Config, Loaded};

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good").join(name)).unwrap()
}

fn load(topology: &str) -> Loaded {
    Config::load_str(&text("node.toml"), topology).unwrap()
}

fn numbers(topology: &Topology) -> Vec<u16> {
    topology.path_sets[0].paths.iter().map(|path| path.id.0).collect()
}

#[test]
fn the_plan_goes_round_a_shared_duct() {
    let loaded = load(&text("planned.toml"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let topology = &loaded.config.topology;
    assert_eq!(plan::verify(topology), Ok(()));
    assert_eq!(topology.certificates.len(), 1);
    let [one, other] = numbers(topology)[..] else { unreachable!() };
    assert!(one >= 32_768 && other >= 32_768 && one != other);
    assert_eq!(
        loaded.config.certificates()[0].to_string(),
        format!(
            "path set paris-frankfurt: 2 paths, no intermediate region or shared risk on two of them, cost 32.5 ms\n  \
             path {one}: paris > london > frankfurt (10.5 ms) [duct]\n  \
             path {other}: paris > madrid > frankfurt (22 ms)"
        )
    );
}

/// The operator may write the file in another order, and add to it.
#[test]
fn numbers_stay_with_their_ways() {
    let file = text("planned.toml");
    let before = numbers(&load(&file).config.topology);
    let regions = file.replace(
        "{ name = \"paris\" }, { name = \"london\" }",
        "{ name = \"london\" }, { name = \"paris\" }, { name = \"oslo\" }",
    );
    assert_ne!(regions, file);
    assert_eq!(numbers(&load(&regions).config.topology), before);
    // Another way has another number; the one that stays keeps its own.
    let risky = file
        .replacen("latency_ms = 14\n", "latency_ms = 14\nshared_risk = [\"fire\"]\n", 1)
        .replacen("latency_ms = 6.5\n", "latency_ms = 6.5\nshared_risk = [\"fire\"]\n", 1);
    let after = numbers(&load(&risky).config.topology);
    assert_eq!(after.len(), 2);
    assert!(!after.contains(&before[0]) && after.contains(&before[1]), "{before:?} {after:?}");
}

#[test]
fn a_number_in_use_is_left_alone() {
    let file = text("planned.toml");
    let before = numbers(&load(&file).config.topology);
    let written = format!(
        "[[path_set]]\nname = \"lyon-frankfurt\"\nedge = \"lyon\"\ngateway = \"frankfurt\"\n\
         paths = [{{ id = {}, via = [\"london\"] }}, {{ id = 9, via = [\"madrid\"] }}]\n\n[[link]]\n\
         between = [\"lyon\", \"london\"]\nlatency_ms = 90\n\n[[link]]\nbetween = [\"lyon\", \"madrid\"]\nlatency_ms = 90\n\n[[application]]",
        before[0]
    );
    let file = file.replacen("[[application]]", &written, 1);
    let file = file.replacen(
        "roles = [\"intermediate\"]\nunderlay = [\"192.0.2.13",
        "roles = [\"intermediate\", \"edge\"]\nunderlay = [\"192.0.2.13",
        1,
    );
    let after = numbers(&load(&file).config.topology);
    assert_eq!((after[0], after[1]), (before[0] + 1, before[1]));
}

/// Hundreds of regions, thousands of links: read, planned and checked as a whole.
#[test]
fn a_large_overlay_is_planned() {
    use std::fmt::Write;
    let (regions, edges) = (300u32, 60);
    let mut file = text("planned.toml").split("[[link]]").next().unwrap().to_owned();
    let listed: String = (0..regions).map(|number| format!(", {{ name = \"r{number}\" }}")).collect();
    file = file.replacen(", { name = \"lyon\" }", &format!(", {{ name = \"lyon\" }}{listed}"), 1);
    let mut link = |a: &str, b: &str, number: u32| {
        let latency = 1 + (number.wrapping_mul(0x9e37_79b1) >> 25);
        let risk = number / 3;
        writeln!(
            file,
            "[[link]]\nbetween = [\"{a}\", \"{b}\"]\nlatency_ms = {latency}.25\nshared_risk = [\"c{risk}\"]"
        )
        .unwrap();
    };
    let mut number = 0;
    for a in 0..regions {
        for step in [1, 2, 7, 19, 40, 77, 101] {
            link(&format!("r{a}"), &format!("r{}", (a + step) % regions), number);
            number += 1;
        }
    }
    for a in (0..regions).step_by(9) {
        link("frankfurt", &format!("r{a}"), number);
        link("paris", &format!("r{}", (a + 4) % regions), number + 1);
        number += 2;
    }
    for a in 0..regions {
        let edge = if a < edges { ", \"edge\"" } else { "" };
        let underlay = format!("10.77.{}.{}", a / 200, a % 200 + 1);
        writeln!(file, "[[node]]\nname = \"n{a}\"\nid = {}\nregion = \"r{a}\"\nroles = [\"intermediate\"{edge}]\nunderlay = [\"{underlay}\"]", a + 100).unwrap();
    }
    for edge in (0..edges).map(|a| format!("r{a}")).chain(["paris".to_owned()]) {
        writeln!(
            file,
            "[[path_set]]\nname = \"{edge}-frankfurt\"\nedge = \"{edge}\"\ngateway = \"frankfurt\"\nplan = 3"
        )
        .unwrap();
    }
    file += &text("planned.toml")[text("planned.toml").find("[[application]]").unwrap()..];
    let loaded = load(&file);
    assert!(loaded.warnings.len() <= 1, "{:?}", loaded.warnings);
    assert_eq!(plan::verify(&loaded.config.topology), Ok(()));
    assert!(loaded.config.topology.path_sets.iter().all(|set| set.paths.len() == 3));
}
