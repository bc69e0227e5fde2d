//! A gateway's addresses and clients in the form that people read.

use crate::prefixes::{Prefix, Prefixes};
use crate::response::{Client, PoolUse};
use crate::table::{Table, percent, thousands};

/// A line for each address with each protocol.
pub(crate) fn show_pool<'a>(pool: impl Iterator<Item = &'a PoolUse>) -> String {
    let mut table = Table::new(&["address", "protocol", "ports used", "of", ""]);
    let mut count = 0;
    for PoolUse { address, protocol, used, total } in pool {
        count += 1;
        let numbers = [thousands(*used), thousands(*total), percent(*used, *total)];
        table.row([address.to_string(), protocol.name().to_owned()].into_iter().chain(numbers));
    }
    if count == 0 { String::new() } else { table.text() }
}

/// A line for each client.
pub(crate) fn show_clients<'a>(clients: impl Iterator<Item = &'a Client>) -> String {
    let mut table = Table::new(&["client", "tcp", "udp", "other", "ports"]);
    let mut count = 0;
    for Client { client, tcp, udp, other, ports } in clients {
        count += 1;
        let numbers = [tcp, udp, other, ports].map(|number| thousands((*number).into()));
        table.row([client.to_string()].into_iter().chain(numbers));
    }
    if count == 0 { String::new() } else { table.text() }
}

/// A line for each rule.
pub(crate) fn show_prefixes(all: &Prefixes) -> String {
    if all.prefixes.is_empty() {
        return "none\n".to_owned();
    }
    let mut table = Table::new(&["application", "virtual IP", "edge", "inside", "outside", "translated"]);
    for Prefix { application, vip, edge, inside, outside, translated } in &all.prefixes {
        let translated = translated.map_or("-".to_owned(), |address| address.to_string());
        let ends = [application.clone(), vip.to_string(), edge.clone(), inside.clone(), outside.clone()];
        table.row(ends.into_iter().chain([translated]));
    }
    let counts = [all.to_origin, all.to_client].map(thousands);
    format!("{}packets to origins {}, to clients {}\n", table.text(), counts[0], counts[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    #[test]
    fn a_line_each() {
        let address = "192.0.2.1".parse().unwrap();
        let used = PoolUse { address, protocol: Family::Tcp, used: 1_500, total: 60_000 };
        let text = show_pool([&used].into_iter());
        assert!(text.lines().nth(1).unwrap().contains("1,500  60,000  2.5 %"), "{text}");
        let client = Client { client: address, tcp: 1_234, udp: 5, other: 0, ports: 7 };
        let text = show_clients([&client].into_iter());
        assert!(text.contains("1,234") && text.lines().count() == 2, "{text}");
        let rule = Prefix {
            application: "web".to_owned(),
            vip: "2001:db8:a::10".parse().unwrap(),
            edge: "edge-1".to_owned(),
            inside: "2001:db8:c::/48".to_owned(),
            outside: "2001:db8:f0::/48".to_owned(),
            translated: Some("2001:db8:f0:ff1b::77".parse().unwrap()),
        };
        let text = show_prefixes(&Prefixes { prefixes: vec![rule], to_origin: 1_234, to_client: 5 });
        assert!(
            text.contains("2001:db8:f0:ff1b::77") && text.contains("to origins 1,234, to clients 5"),
            "{text}"
        );
        assert_eq!(show_prefixes(&Prefixes::default()), "none\n");
        assert_eq!(show_pool([].into_iter()) + &show_clients([].into_iter()), "");
    }
}
