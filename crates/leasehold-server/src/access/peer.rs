//! The address that a request comes from: that of the connection, or the one that trusted proxies
//! forward.
//!
//! A proxy appends its client's address to `X-Forwarded-For` (or `Forwarded`), so the last entry is
//! the nearest. The walk begins there and goes on while the address is that of a trusted proxy.
//! A stranger may have written the entries further left.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, header};
use serde::Deserialize;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Peer {
    address: IpAddr,
    /// Whether many clients share the address.
    is_shared: bool,
}

impl Peer {
    /// The address.
    pub(crate) fn address(self) -> IpAddr {
        self.address
    }

    /// The address that counts against the share of one client. `None` if many clients share it: it
    /// is that of a trusted proxy that forwards no address, or of this machine, where tunnels and
    /// port forwards end.
    pub(crate) fn counted(self) -> Option<IpAddr> {
        (!self.is_shared).then_some(self.address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}

/// The address of a request's connection: that of the last proxy, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connected(pub(crate) IpAddr);

/// An address, or all addresses with the same prefix: `::1`, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// A text that is no [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no address and no network such as 10.0.0.0/8")]
pub struct NotANetwork(String);

/// The proxies whose forwarded addresses the server believes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct TrustedProxies(pub Vec<Network>);

/// The forms in a configuration file: one text, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    List(Vec<String>),
}

impl TryFrom<Written> for TrustedProxies {
    type Error = NotANetwork;

    fn try_from(written: Written) -> Result<Self, NotANetwork> {
        match written {
            Written::Text(text) => text.parse(),
            Written::List(list) => {
                list.iter().map(|it| it.parse()).collect::<Result<_, _>>().map(Self)
            }
        }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                let shift = 32_u32.saturating_sub(self.prefix_bits.into());
                (ours.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                let shift = 128_u32.saturating_sub(self.prefix_bits.into());
                (ours.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= bits_max).ok_or_else(wrong)?,
            None => bits_max,
        };
        Ok(Self { address, prefix_bits })
    }
}

impl Default for TrustedProxies {
    /// This machine.
    fn default() -> Self {
        Self(vec![
            Network { address: Ipv4Addr::new(127, 0, 0, 0).into(), prefix_bits: 8 },
            Network { address: Ipv6Addr::LOCALHOST.into(), prefix_bits: 128 },
        ])
    }
}

impl FromStr for TrustedProxies {
    type Err = NotANetwork;

    /// Networks separated by commas; `none` is an empty list.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        if text.trim() == "none" {
            return Ok(Self(Vec::new()));
        }
        let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
        networks.map(Network::from_str).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// Whether an address is that of a trusted proxy.
    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The peer of a request on a connection from `connected`. An entry that is no address ends the
    /// walk: the address before it is the last known one.
    pub(crate) fn resolve(&self, connected: IpAddr, headers: &HeaderMap) -> Peer {
        let mut address = connected.to_canonical();
        if !self.trust(address) {
            return self.peer(address);
        }
        for entry in chain(headers).iter().rev() {
            match address_of(entry) {
                Some(forwarded) => address = forwarded.to_canonical(),
                None => break,
            }
            if !self.trust(address) {
                break;
            }
        }
        self.peer(address)
    }

    /// The peer with this address.
    pub(crate) fn peer(&self, address: IpAddr) -> Peer {
        let address = address.to_canonical();
        Peer { address, is_shared: address.is_loopback() || self.trust(address) }
    }
}

/// The forwarded addresses, the nearest last. A proxy that writes one header passes the other one
/// on unchanged. So `X-Forwarded-For`, which nearly all proxies write, goes before `Forwarded`.
fn chain(headers: &HeaderMap) -> Vec<String> {
    let entries = |name: HeaderName| {
        let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?"));
        let entries = lines.flat_map(|line| line.split(','));
        entries.map(|entry| entry.trim().to_owned()).collect::<Vec<_>>()
    };
    if headers.contains_key(X_FORWARDED_FOR) {
        return entries(X_FORWARDED_FOR);
    }
    let for_whom = |entry: String| {
        let pairs = entry.split(';').filter_map(|pair| pair.split_once('='));
        let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        named.next().map_or_else(String::new, |(_, node)| node.trim().trim_matches('"').to_owned())
    };
    entries(header::FORWARDED).into_iter().map(for_whom).collect()
}

/// The address in `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or
/// `[2001:db8::1]:4711`.
fn address_of(node: &str) -> Option<IpAddr> {
    let bare = || node.parse().ok();
    let with_port = || node.parse().ok().map(|address: SocketAddr| address.ip());
    let bracketed = || node.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    bare().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(trusted: &str, connected: &str, headers: &[(&'static str, &str)], expected: &str) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted: TrustedProxies = trusted.parse().unwrap();
        let peer = trusted.resolve(connected.parse().unwrap(), &map);
        assert_eq!(peer.to_string(), expected, "{headers:?}");
    }

    #[test]
    fn the_address_of_a_trusted_proxy_never_counts_as_one_client() {
        let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let counted = |connected: &str, forwarded: &str| {
            let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, forwarded.parse().unwrap())]);
            let peer = trusted.resolve(connected.parse().unwrap(), &headers);
            peer.counted().map(|address| address.to_string())
        };
        assert_eq!(counted("10.0.0.1", "192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(counted("198.51.100.1", "10.0.0.1").as_deref(), Some("198.51.100.1"));
        for shared in ["unknown", "10.0.0.2", "127.0.0.1"] {
            assert_eq!(counted("10.0.0.1", shared), None, "{shared}");
        }
        assert_eq!(counted("::ffff:10.0.0.1", ""), None);
        assert_eq!(counted("127.0.0.1", ""), None);
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn a_trusted_proxy_is_believed_and_a_stranger_is_not() {
        check("127.0.0.0/8", "127.0.0.1", &[(XFF, "192.0.2.1")], "192.0.2.1");
        check("127.0.0.0/8", "198.51.100.1", &[(XFF, "192.0.2.1")], "198.51.100.1");
        check("none", "127.0.0.1", &[(XFF, "192.0.2.1")], "127.0.0.1");
        check("127.0.0.0/8", "127.0.0.1", &[], "127.0.0.1");
    }

    #[test]
    fn the_chain_is_walked_from_the_right_until_the_first_stranger() {
        let spoofed = "203.0.113.9, 192.0.2.1, 10.1.2.3";
        check("127.0.0.1,10.0.0.0/8", "127.0.0.1", &[(XFF, spoofed)], "192.0.2.1");
        check("127.0.0.1", "127.0.0.1", &[(XFF, spoofed)], "10.1.2.3");
        let two_lines = [(XFF, "192.0.2.1"), (XFF, "10.1.2.3")];
        check("127.0.0.1,10.0.0.0/8", "127.0.0.1", &two_lines, "192.0.2.1");
        check("127.0.0.1,10.0.0.0/8", "127.0.0.1", &[(XFF, "10.1.2.3")], "10.1.2.3");
    }

    #[test]
    fn each_way_of_writing_an_address_is_read() {
        for (entry, expected) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            check("::1", "::1", &[(XFF, entry)], expected);
        }
        check("127.0.0.0/8", "::ffff:127.0.0.1", &[(XFF, "192.0.2.1")], "192.0.2.1");
    }

    #[test]
    fn forwarded_is_read_where_no_proxy_writes_the_other_header() {
        let forwarded = "for=203.0.113.9, For=\"[2001:db8::1]:4711\";proto=https;by=10.1.2.3";
        check("::1", "::1", &[("forwarded", forwarded)], "2001:db8::1");
        check("::1", "::1", &[("forwarded", forwarded), (XFF, "192.0.2.1")], "192.0.2.1");
    }

    #[test]
    fn an_invalid_entry_loses_no_known_address() {
        for malformed in ["", "unknown", ",", "192.0.2.1;", "999.1.1.1", "[::1", "é"] {
            let chain = format!("203.0.113.9, {malformed}");
            check("127.0.0.1", "127.0.0.1", &[(XFF, &chain)], "127.0.0.1");
            let chain = format!("{malformed}, 10.1.2.3");
            let expected = if malformed == "é" { "127.0.0.1" } else { "10.1.2.3" };
            check("127.0.0.1,10.0.0.0/8", "127.0.0.1", &[(XFF, &chain)], expected);
            check("127.0.0.1", "127.0.0.1", &[("forwarded", malformed)], "127.0.0.1");
        }
        check("127.0.0.1", "127.0.0.1", &[("forwarded", "proto=https")], "127.0.0.1");
    }

    #[test]
    fn a_list_of_networks_is_read_whole_or_not_at_all() {
        assert_eq!("none".parse(), Ok(TrustedProxies(vec![])));
        let both: TrustedProxies = "127.0.0.0/8, ::1".parse().unwrap();
        assert_eq!(both, TrustedProxies::default());
        for wrong in ["localhost", "10.0.0.0/33", "::1/129", "10.0.0.1/", "10.0.0.0/8;::1"] {
            let error = wrong.parse::<TrustedProxies>().unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
        let all: TrustedProxies = "0.0.0.0/0,::/0".parse().unwrap();
        assert!(all.trust("192.0.2.1".parse().unwrap()) && all.trust("::1".parse().unwrap()));
    }
}
