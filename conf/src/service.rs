//! Readers of services, as in `tcp/443`, `udp/5000-5010`, `icmp` or `protocol/50`.

use overlay::topology::Service;

use crate::problems::{Problems, error};
use crate::reader::{Item, shown, wrong_type};
use crate::values::text;

const EXAMPLES: &str = "write \"tcp/443\", \"udp/5000-5010\" or \"icmp\"";
const KINDS: &str = "use tcp, udp, udplite, sctp, icmp, gre or protocol/NUMBER";
const GRE: u8 = 47;

/// A protocol with its ports, or without.
pub(crate) fn service(item: &Item<'_>, p: &mut Problems) -> Option<Service> {
    if !matches!(item.value, toml::de::DeValue::String(_)) {
        wrong_type(item, "a service", EXAMPLES, p);
        return None;
    }
    let written = text(item, p)?;
    let (protocol, ports) = written.split_once('/').unwrap_or((&written, ""));
    let read = match (protocol, ports) {
        ("icmp", "") => Ok(Service::Icmp),
        ("gre", "") => Ok(Service::Protocol(GRE)),
        ("icmp" | "gre", _) => Err(("it has no ports", format!("write \"{protocol}\""))),
        ("protocol", number) => by_number(number),
        _ => with_ports(protocol, ports),
    };
    match read {
        Ok(service) => Some(service),
        Err((why, help)) => {
            error(item.place, format!("`{}` is not a service: {why}", shown(&written))).help(p, help);
            None
        }
    }
}

type Read = Result<Service, (&'static str, String)>;

fn with_ports(protocol: &str, ports: &str) -> Read {
    let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
    let (Ok(low), Ok(high)) = (low.parse::<u16>(), high.parse::<u16>()) else {
        return Err(("it names no port from 1 to 65535", EXAMPLES.to_owned()));
    };
    if low == 0 {
        let help = format!("begin with port 1 or higher, as in \"{protocol}/443\"");
        return Err(("port 0 cannot be used", help));
    }
    if low > high {
        return Err(("its range runs backwards", format!("write \"{protocol}/{high}-{low}\"")));
    }
    match protocol {
        "tcp" => Ok(Service::Tcp(low..=high)),
        "udp" => Ok(Service::Udp(low..=high)),
        "udplite" => Ok(Service::UdpLite(low..=high)),
        "sctp" => Ok(Service::Sctp(low..=high)),
        _ => Err(("its protocol is unknown", KINDS.to_owned())),
    }
}

/// A protocol that is translated by address alone.
fn by_number(number: &str) -> Read {
    let Ok(number) = number.parse::<u8>() else {
        return Err(("it names no protocol from 1 to 254", "write \"protocol/50\" for ESP, say".to_owned()));
    };
    let own_word = match number {
        1 | 58 => "icmp",
        6 => "tcp/443",
        17 => "udp/443",
        132 => "sctp/3868",
        136 => "udplite/5000",
        _ => "",
    };
    if !own_word.is_empty() {
        return Err(("this protocol has a word of its own", format!("write \"{own_word}\"")));
    }
    match number {
        // Extension headers of IPv6 (RFC 8200, RFC 6275, RFC 7401, RFC 5533) and "no next header".
        0 | 43 | 44 | 59 | 60 | 135 | 139 | 140 => {
            Err(("it is a header of IPv6, not a protocol", "name the protocol behind it".to_owned()))
        }
        // It authenticates the addresses (RFC 4302 section 3.3.3).
        51 => Err(("no translation leaves it valid", "use ESP, protocol/50".to_owned())),
        255 => Err(("it is reserved", "write a number from 1 to 254".to_owned())),
        _ => Ok(Service::Protocol(number)),
    }
}
