//! Readers of single values: what a key's text must look like, and how to mend it when it does not.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;
use toml::de::DeValue;

use crate::problems::{Problems, error};
use crate::reader::{Item, shown, wrong_type};
use crate::suggest::nearest;

/// Longest text that any key takes, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// Longest name, in bytes: what a DNS label may have.
const NAME_BYTES_MAX: usize = 63;

/// True or false.
pub(crate) fn boolean(item: &Item<'_>, problems: &mut Problems) -> Option<bool> {
    let DeValue::Boolean(value) = item.value else {
        wrong_type(item, "true or false", "write true or false without quotes", problems);
        return None;
    };
    Some(*value)
}

/// An integer of a range; the type must hold the range.
pub(crate) fn integer<N>(range: RangeInclusive<N>) -> impl Fn(&Item<'_>, &mut Problems) -> Option<N>
where
    N: Copy + PartialOrd + core::fmt::Display + TryFrom<i128>,
{
    move |item, problems| {
        let DeValue::Integer(digits) = item.value else {
            let help = format!("write an integer from {} to {}, without quotes", range.start(), range.end());
            wrong_type(item, "an integer", &help, problems);
            return None;
        };
        let value = i128::from_str_radix(digits.as_str(), digits.radix()).ok();
        let value = value.and_then(|value| N::try_from(value).ok()).filter(|value| range.contains(value));
        if value.is_none() {
            let message = format!("`{}` is {}, which is out of range", item.key, shown(&digits.to_string()));
            error(item.place, message)
                .help(problems, format!("use an integer from {} to {}", range.start(), range.end()));
        }
        value
    }
}

/// A number of a range, with or without a fraction.
pub(crate) fn decimal(range: RangeInclusive<f64>) -> impl Fn(&Item<'_>, &mut Problems) -> Option<f64> {
    move |item, problems| {
        let (written, value) = match item.value {
            DeValue::Float(digits) => (digits.to_string(), digits.as_str().replace('_', "").parse().ok()),
            DeValue::Integer(digits) => {
                let value = i128::from_str_radix(digits.as_str(), digits.radix()).ok();
                (digits.to_string(), value.map(|value| value as f64))
            }
            _ => {
                let help =
                    format!("write a number from {} to {}, without quotes", range.start(), range.end());
                wrong_type(item, "a number", &help, problems);
                return None;
            }
        };
        let value = value.filter(|value: &f64| range.contains(value));
        if value.is_none() {
            let message = format!("`{}` is {}, which is out of range", item.key, shown(&written));
            error(item.place, message)
                .help(problems, format!("use a number from {} to {}", range.start(), range.end()));
        }
        value
    }
}

/// Text of one line that is not empty.
pub(crate) fn text(item: &Item<'_>, problems: &mut Problems) -> Option<String> {
    let DeValue::String(text) = item.value else {
        wrong_type(item, "a string", "put it into double quotes", problems);
        return None;
    };
    let wrong = match text {
        text if text.is_empty() => "is empty",
        text if text.len() > TEXT_BYTES_MAX => "is too long",
        text if text.chars().any(char::is_control) => "holds a control character",
        text => return Some(text.clone().into_owned()),
    };
    error(item.place, format!("`{}` {wrong}", item.key))
        .help(problems, format!("write 1 to {TEXT_BYTES_MAX} printable characters"));
    None
}

/// A name: it stands in commands, metrics and file names, so it is kept plain.
pub(crate) fn name(item: &Item<'_>, problems: &mut Problems) -> Option<String> {
    let text = text(item, problems)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.chars().all(plain) && text.len() <= NAME_BYTES_MAX {
        return Some(text);
    }
    let message = format!("`{}` is not a name", shown(&text));
    let help = format!(
        "use 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 - _ . and begin with a letter or digit, as in \"edge-1\""
    );
    error(item.place, message).help(problems, help);
    None
}

/// One of a few words.
pub(crate) fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&Item<'_>, &mut Problems) -> Option<T> {
    move |item, problems| {
        let text = text(item, problems)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known = || words.iter().map(|(word, _)| *word);
        let help = match nearest(&text, known()) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => {
                format!("use one of {}", known().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", "))
            }
        };
        error(item.place, format!("`{}` is not a value of `{}`", shown(&text), item.key))
            .help(problems, help);
        None
    }
}

/// The address of one host: not of a group, of this machine only, or of none.
pub(crate) fn host(item: &Item<'_>, problems: &mut Problems) -> Option<IpAddr> {
    let text = text(item, problems)?;
    let Ok(address) = text.parse::<IpAddr>() else {
        let message = format!("`{}` is not an IP address", shown(&text));
        let help = "write one address without prefix length or port, as in \"192.0.2.1\" or \"2001:db8::1\"";
        error(item.place, message).help(problems, help);
        return None;
    };
    host_kind(item, address, problems)
}

/// Refuses addresses that no single host on a network can have.
pub(crate) fn host_kind(item: &Item<'_>, address: IpAddr, problems: &mut Problems) -> Option<IpAddr> {
    let kind = match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4 address written as IPv6",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "a multicast address",
        _ => return Some(address),
    };
    let help = match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => format!("write \"{v4}\""),
            None => "use a global or unique local unicast address".to_owned(),
        },
        IpAddr::V4(_) => "use a unicast address that other hosts can reach".to_owned(),
    };
    error(item.place, format!("{address} is {kind}")).help(problems, help);
    None
}

/// An address or network with its prefix length.
pub(crate) fn network(item: &Item<'_>, problems: &mut Problems) -> Option<IpNetwork> {
    let text = text(item, problems)?;
    if let (true, Ok(network)) = (text.contains('/'), text.parse::<IpNetwork>()) {
        return Some(network);
    }
    let message = format!("`{}` is not an address with a prefix length", shown(&text));
    let help = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => format!("add the prefix length, as in \"{text}/24\""),
        Ok(IpAddr::V6(_)) => format!("add the prefix length, as in \"{text}/64\""),
        Err(_) => "write address/length, as in \"192.0.2.1/24\" or \"2001:db8::1/64\"".to_owned(),
    };
    error(item.place, message).help(problems, help);
    None
}

/// An address and port.
pub(crate) fn socket_address(item: &Item<'_>, problems: &mut Problems) -> Option<SocketAddr> {
    let text = text(item, problems)?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    error(item.place, format!("`{}` is not an address with a port", shown(&text)))
        .help(problems, "write address:port, as in \"127.0.0.1:9464\" or \"[::1]:9464\"");
    None
}
