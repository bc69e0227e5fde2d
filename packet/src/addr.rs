//! Addresses in the one form that tables compare and hash.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 or IPv6 address as one 128-bit number, IPv4 in its IPv4-mapped form (`::ffff:a.b.c.d`,
/// RFC 4291 section 2.5.5.2), so that every table has keys of one size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Addr(u128);

const V4_PREFIX: u128 = 0xffff_0000_0000;

impl Addr {
    /// The all-zero address (`::`), which stands for "none".
    pub const UNSPECIFIED: Addr = Addr(0);

    /// From four bytes of an IPv4 header.
    #[inline(always)]
    pub fn from_v4(bytes: [u8; 4]) -> Addr {
        Addr(V4_PREFIX | u32::from_be_bytes(bytes) as u128)
    }

    /// From sixteen bytes of an IPv6 header.
    #[inline(always)]
    pub fn from_v6(bytes: [u8; 16]) -> Addr {
        Addr(u128::from_be_bytes(bytes))
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub fn is_v4(self) -> bool {
        self.0 >> 32 == V4_PREFIX >> 32
    }

    /// The four bytes of an IPv4 address; of an IPv6 address, its last four.
    #[inline(always)]
    pub fn v4_bytes(self) -> [u8; 4] {
        (self.0 as u32).to_be_bytes()
    }

    /// The sixteen bytes, as in an IPv6 header.
    #[inline(always)]
    pub fn v6_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The address as a number, IPv4-mapped for IPv4.
    #[inline(always)]
    pub fn to_bits(self) -> u128 {
        self.0
    }

    /// As the standard library's type.
    pub fn to_ip(self) -> IpAddr {
        if self.is_v4() {
            IpAddr::V4(Ipv4Addr::from(self.v4_bytes()))
        } else {
            IpAddr::V6(Ipv6Addr::from(self.0))
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Addr {
        match ip {
            IpAddr::V4(v4) => Addr::from_v4(v4.octets()),
            IpAddr::V6(v6) => Addr::from_v6(v6.octets()),
        }
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(ip: Ipv4Addr) -> Addr {
        Addr::from_v4(ip.octets())
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(ip: Ipv6Addr) -> Addr {
        Addr::from_v6(ip.octets())
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Whether frames to this address reach more than one station (the group bit).
    #[inline(always)]
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// The group address that carries an IPv6 multicast packet (RFC 2464 section 7).
    pub fn for_ipv6_multicast(group: Ipv6Addr) -> Mac {
        let [.., a, b, c, d] = group.octets();
        Mac([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v4_and_v6_stay_apart() {
        let v4 = Addr::from(Ipv4Addr::new(192, 0, 2, 7));
        assert!(v4.is_v4());
        assert_eq!(v4.to_string(), "192.0.2.7");
        assert_eq!(v4.v4_bytes(), [192, 0, 2, 7]);
        let v6: Addr = "2001:db8::7".parse::<IpAddr>().unwrap().into();
        assert!(!v6.is_v4());
        assert_eq!(v6.to_string(), "2001:db8::7");
        assert!(!Addr::UNSPECIFIED.is_v4());
    }

    #[test]
    fn multicast_maps_to_its_group_address() {
        let mac = Mac::for_ipv6_multicast("ff02::1:ff00:7".parse().unwrap());
        assert_eq!(mac.to_string(), "33:33:ff:00:00:07");
        assert!(mac.is_group());
    }
}
