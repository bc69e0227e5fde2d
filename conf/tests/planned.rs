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
