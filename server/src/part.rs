//! A node's part of the overlay: the definition less what does not concern it, with the public keys of all who have joined.
//!
//! Every node has regions, links, nodes and path sets whole: it checks plans by them. Of applications it has those that end at
//! it: whose virtual IPs it holds, or whose gateway it is. Others only where their packets are routed hop by hop or by the
//! packet, since then any node may be on their way. What only the DNS goes by, nobody has.

use std::collections::BTreeMap;

use overlay::keys::PublicIdentity;
use toml::{Table, Value};

/// The part of a node, as a topology file's text; `None` where the overlay has no such node.
///
/// The same definition and keys give the same text, so that a node whose part did not change is told so by its checksum.
pub fn part(definition: &Table, node: &str, keys: &BTreeMap<String, PublicIdentity>) -> Option<String> {
    let mut part = definition.clone();
    let this = entries(definition, "node").find(|one| name(one) == Some(node))?;
    let region = this.get("region").and_then(Value::as_str);
    let roles = this.get("roles").and_then(Value::as_array);
    let is_gateway = roles.is_some_and(|roles| roles.iter().any(|role| role.as_str() == Some("gateway")));
    let concerns = |application: &Table| {
        let holds = |vip: &Value| vip.get("node").and_then(Value::as_str) == Some(node);
        let vips = application.get("vips").and_then(Value::as_array);
        let translates = is_gateway && application.get("gateway").and_then(Value::as_str) == region;
        vips.is_some_and(|vips| vips.iter().any(holds)) || translates || is_routed(application)
    };
    part.remove("client");
    let applications = entries(definition, "application").filter(|one| concerns(one)).cloned();
    let without_hostname = |mut application: Table| {
        application.remove("hostname");
        Value::Table(application)
    };
    part.insert("application".to_owned(), Value::Array(applications.map(without_hostname).collect()));
    if let Some(Value::Array(nodes)) = part.get_mut("node") {
        for one in nodes.iter_mut().filter_map(Value::as_table_mut) {
            one.remove("draining");
            if let Some(key) = name(one).and_then(|name| keys.get(name)) {
                one.insert("public_key".to_owned(), Value::String(key.to_string()));
            }
        }
    }
    toml::to_string(&part).ok()
}

/// The tables of a list.
pub fn entries<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t Table> {
    table.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

/// A table's name.
pub fn name(table: &Table) -> Option<&str> {
    table.get("name").and_then(Value::as_str)
}

/// Whether its packets leave path sets, in either direction.
fn is_routed(application: &Table) -> bool {
    let replicates = |word: &Value| word.as_str().is_none_or(|word| word == "replicate");
    match application.get("routing") {
        None => false,
        Some(Value::Table(each)) => !each.values().all(replicates),
        Some(both) => !replicates(both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conf::Overlay;

    const OVERLAY: &str = include_str!("../../conf/examples/overlay.toml");

    fn names(part: &str) -> Vec<String> {
        let table: Table = part.parse().unwrap();
        entries(&table, "application").filter_map(name).map(str::to_owned).collect()
    }

    #[test]
    fn a_node_gets_what_ends_at_it_and_the_rest_is_a_good_topology() {
        let definition: Table = OVERLAY.parse().unwrap();
        let none = BTreeMap::new();
        let all = names(&toml::to_string(&definition).unwrap());
        assert!(!all.is_empty());
        for node in entries(&definition, "node").filter_map(name) {
            let part = part(&definition, node, &none).unwrap();
            let checked =
                Overlay::check("part", &part, &none).unwrap_or_else(|errors| panic!("{node}: {errors}"));
            let whole = Overlay::check("whole", OVERLAY, &none).unwrap();
            assert_eq!(checked.topology.path_sets, whole.topology.path_sets);
            assert_eq!(checked.topology.nodes, whole.topology.nodes);
            let edge = whole.topology.nodes.iter().find(|one| one.name == node).unwrap().roles.edge;
            let vips = whole.topology.applications.iter().flat_map(|one| &one.vips);
            let id = whole.topology.nodes.iter().find(|one| one.name == node).unwrap().id;
            if edge && vips.clone().any(|vip| vip.node == id) {
                assert!(!names(&part).is_empty(), "{node}");
            }
        }
        assert_eq!(part(&definition, "nobody", &none), None);
    }

    #[test]
    fn a_node_on_the_way_learns_of_no_origin_and_one_with_two_edges_only_of_its_own() {
        let text = "[[region]]\nname = \"a\"\n[[node]]\nname = \"e1\"\nregion = \"a\"\nroles = [\"edge\"]\n\
            [[node]]\nname = \"m\"\nregion = \"b\"\nroles = [\"intermediate\"]\n\
            [[application]]\nname = \"one\"\ngateway = \"z\"\nvips = [{ address = \"192.0.2.1\", node = \"e1\" }]\n\
            [[application]]\nname = \"two\"\ngateway = \"z\"\nvips = [{ address = \"192.0.2.2\", node = \"e2\" }]\n\
            [[application]]\nname = \"hops\"\ngateway = \"z\"\nvips = []\nrouting = { to_client = \"shortest\" }\n";
        let definition: Table = text.parse().unwrap();
        assert_eq!(names(&part(&definition, "e1", &BTreeMap::new()).unwrap()), ["one", "hops"]);
        assert_eq!(names(&part(&definition, "m", &BTreeMap::new()).unwrap()), ["hops"]);
    }

    #[test]
    fn keys_of_nodes_that_joined_are_introduced() {
        let definition: Table = OVERLAY.parse().unwrap();
        let key = PublicIdentity([7; 32]);
        let name = entries(&definition, "node").find_map(name).unwrap();
        let part = part(&definition, name, &BTreeMap::from([(name.to_owned(), key)])).unwrap();
        assert!(part.contains(&key.to_string()));
    }
}
