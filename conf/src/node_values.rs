//! Readers of the node file's own notations: devices, EAL arguments, own addresses, sockets, timeouts.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

use crate::problems::{Problems, error, warning};
use crate::reader::{Item, shown};
use crate::values::{host_kind, integer, network, socket_address, text};

/// What a Unix socket's path may have in bytes: `sun_path` less its closing zero.
const SOCKET_BYTES_MAX: usize = 107;

/// Longest device text in bytes: DPDK keeps names and arguments in buffers of this order.
const DEVICE_BYTES_MAX: usize = 255;

/// Longest timeout: a week.
const TIMEOUT_SECONDS_MAX: u32 = 604_800;

/// EAL arguments that Proa gives itself, and the setting that stands for each.
const EAL_ARGUMENTS_TAKEN: [(&str, &str); 12] = [
    ("-l", "[workers] cores and control_core"),
    ("-c", "[workers] cores and control_core"),
    ("--lcores", "[workers] cores and control_core"),
    ("--coremask", "[workers] cores and control_core"),
    ("--main-lcore", "[workers] control_core"),
    ("-m", "[eal] memory_mib"),
    ("--no-huge", "[eal] hugepages = false"),
    ("--file-prefix", "[eal] file_prefix"),
    ("-a", "[[port]] device"),
    ("--allow", "[[port]] device"),
    ("--vdev", "[[port]] device"),
    ("--proc-type", "nothing: Proa is always a primary process"),
];

/// A PCI address, or a virtual device with its arguments.
pub(crate) fn device(item: &Item<'_>, p: &mut Problems) -> Option<String> {
    let device = text(item, p)?;
    if device.len() > DEVICE_BYTES_MAX || device.chars().any(|c| !c.is_ascii_graphic()) {
        error(item.place, "`device` is too long, or has a character that no device has").help(
            p,
            format!(
                "write at most {DEVICE_BYTES_MAX} ASCII characters without spaces, as in \"0000:3b:00.0\""
            ),
        );
        return None;
    }
    if !is_pci(&device) && !device.starts_with("net_") {
        warning(
            item.place,
            format!("`{}` is neither a PCI address nor a virtual network device", shown(&device)),
        )
        .help(p, "write \"0000:3b:00.0\", or \"net_…\" as in \"net_af_packet0,iface=wan0\"");
    }
    Some(device)
}

/// A device without its arguments, written in one way only: what makes it the same device.
pub(crate) fn device_identity(device: &str) -> String {
    let name = device.split_once(',').map_or(device, |(name, _)| name).to_ascii_lowercase();
    // 3b:00.0 is short for 0000:3b:00.0.
    if is_pci(&name) && name.split(':').count() == 2 { format!("0000:{name}") } else { name }
}

/// `[DOMAIN:]BUS:DEVICE.FUNCTION`, all hexadecimal, with or without arguments behind a comma.
fn is_pci(device: &str) -> bool {
    let address = device.split_once(',').map_or(device, |(address, _)| address);
    let hex = |text: &str, longest: usize| {
        !text.is_empty() && text.len() <= longest && text.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let Some((front, function)) = address.split_once('.') else { return false };
    let parts: Vec<&str> = front.split(':').collect();
    let numbers = match parts.as_slice() {
        [bus, device] => hex(bus, 2) && hex(device, 2),
        [domain, bus, device] => hex(domain, 8) && hex(bus, 2) && hex(device, 2),
        _ => false,
    };
    numbers && matches!(function.as_bytes(), [b'0'..=b'7'])
}

/// An argument for the EAL that no setting stands for.
pub(crate) fn eal_argument(item: &Item<'_>, p: &mut Problems) -> Option<String> {
    let argument = text(item, p)?;
    let option = argument.split_once('=').map_or(argument.as_str(), |(option, _)| option);
    let taken = EAL_ARGUMENTS_TAKEN.iter().find(|(taken, _)| {
        // A short option may have its value right behind it.
        option == *taken
            || (!taken.starts_with("--") && !option.starts_with("--") && option.starts_with(taken))
    });
    if let Some((taken, setting)) = taken {
        error(item.place, format!("`{taken}` is given by Proa itself"))
            .help(p, format!("remove it and use {setting}"));
        return None;
    }
    Some(argument)
}

/// The size of the largest IP packet.
pub(crate) fn mtu(item: &Item<'_>, p: &mut Problems) -> Option<u16> {
    integer(576..=9702)(item, p)
}

/// An address of this node with its network's prefix length.
pub(crate) fn own_address(item: &Item<'_>, p: &mut Problems) -> Option<IpNetwork> {
    let network = network(item, p)?;
    host_kind(item, network.ip(), p)?;
    let has_hosts = match network {
        IpNetwork::V4(v4) => v4.prefix() < 31,
        IpNetwork::V6(_) => false,
    };
    if has_hosts && (network.ip() == network.network() || network.ip() == network.broadcast()) {
        error(item.place, format!("{} is the network itself or its broadcast address", network.ip()))
            .help(p, "write the address that this node has in it");
        return None;
    }
    Some(network)
}

/// A set of destinations: no bit set beyond the prefix.
pub(crate) fn prefix(item: &Item<'_>, p: &mut Problems) -> Option<IpNetwork> {
    let network = network(item, p)?;
    if network.ip() != network.network() {
        error(item.place, format!("`{network}` has bits set beyond its prefix"))
            .help(p, format!("write \"{}/{}\"", network.network(), network.prefix()));
        return None;
    }
    Some(network)
}

/// The elimination window: whole words of 64 bits.
pub(crate) fn window(item: &Item<'_>, p: &mut Problems) -> Option<u32> {
    let window: u32 = integer(64..=1_048_576)(item, p)?;
    if !window.is_multiple_of(64) {
        error(item.place, format!("`window` is {window}, not a multiple of 64"))
            .help(p, format!("use {}", window.next_multiple_of(64)));
        return None;
    }
    Some(window)
}

/// Seconds, and the least that an RFC allows with its name.
pub(crate) fn timeout(
    least: Option<(u32, &'static str)>,
) -> impl Fn(&Item<'_>, &mut Problems) -> Option<u32> {
    move |item, p| {
        let seconds = integer(1..=TIMEOUT_SECONDS_MAX)(item, p)?;
        if let Some((least, rule)) = least.filter(|(least, _)| seconds < *least) {
            warning(item.place, format!("`{}` is shorter than {rule} allows", item.key))
                .help(p, format!("use {least} or more, or clients may lose idle connections"));
        }
        Some(seconds)
    }
}

/// The control socket's path.
pub(crate) fn socket(item: &Item<'_>, p: &mut Problems) -> Option<PathBuf> {
    let path = text(item, p)?;
    if path.len() > SOCKET_BYTES_MAX {
        error(item.place, format!("the socket's path has {} bytes", path.len()))
            .help(p, format!("use a path of at most {SOCKET_BYTES_MAX} bytes: Unix sockets allow no more"));
        return None;
    }
    if !path.starts_with('/') || path.ends_with('/') {
        error(item.place, "the socket's path is not an absolute path of a file")
            .help(p, "write the whole path, as in \"/run/proa/edge-1.sock\"");
        return None;
    }
    Some(PathBuf::from(path))
}

/// A file that is written: its whole path, since a daemon's directory is nobody's business.
pub(crate) fn written_file(item: &Item<'_>, p: &mut Problems) -> Option<PathBuf> {
    let path = text(item, p)?;
    if !path.starts_with('/') || path.ends_with('/') {
        error(item.place, "this is not an absolute path of a file")
            .help(p, "write the whole path, as in \"/var/log/proa/sessions.jsonl\"");
        return None;
    }
    Some(PathBuf::from(path))
}

/// An address and a port that something is sent to.
pub(crate) fn collector(item: &Item<'_>, p: &mut Problems) -> Option<SocketAddr> {
    let address = socket_address(item, p)?;
    if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
        error(item.place, format!("{address} is no place of a collector"))
            .help(p, "write its address and port, as in \"192.0.2.9:4739\"");
        return None;
    }
    Some(address)
}

/// Where metrics are served: to this machine only.
pub(crate) fn metrics(item: &Item<'_>, p: &mut Problems) -> Option<SocketAddr> {
    let address = socket_address(item, p)?;
    if !address.ip().is_loopback() {
        error(item.place, format!("metrics would be open to the network on {}", address.ip())).help(
            p,
            format!(
                "use \"127.0.0.1:{0}\" or \"[::1]:{0}\" and let a local agent fetch them",
                address.port()
            ),
        );
        return None;
    }
    if address.port() == 0 {
        error(item.place, "port 0 is no port")
            .help(p, "write a port from 1 to 65535, as in \"127.0.0.1:9464\"");
        return None;
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_devices_apart() {
        assert!(is_pci("0000:3b:00.0") && is_pci("3b:00.7") && is_pci("0000:3b:00.0,arg=1"));
        assert!(!is_pci("3b:00.8") && !is_pci("3b:00") && !is_pci("net_tap0") && !is_pci("::.0"));
        assert_eq!(device_identity("3B:00.0"), device_identity("0000:3b:00.0,queues=2"));
        assert_ne!(device_identity("net_tap0"), device_identity("net_tap1"));
    }
}
