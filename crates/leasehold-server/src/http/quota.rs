//! A bound on how many of one thing are open at once: in all, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts its members, and admits none beyond its bounds.
#[derive(Debug)]
pub(crate) struct Crowd {
    all_max: usize,
    each_max: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A member of a crowd. It leaves when it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
}

impl Crowd {
    /// A crowd of at most so many members in all, and so many from one address.
    pub(crate) fn new(all_max: usize, each_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, each_max, inside: Mutex::default() })
    }

    /// Admits a member if there is room. A member without an address counts only in all: a request
    /// from within this process, or a connection from an address that many clients share.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Member> {
        let address = address.map(network);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.is_full(self, address) {
            return None;
        }
        inside.all += 1;
        if let Some(address) = address {
            *inside.by_address.entry(address).or_default() += 1;
        }
        Some(Member { crowd: self.clone(), address })
    }

    /// How many members there are.
    pub(crate) fn count(&self) -> usize {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// Whether the crowd would admit no other member from this address.
    pub(crate) fn is_full_for(&self, address: Option<IpAddr>) -> bool {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.is_full(self, address.map(network))
    }
}

impl Inside {
    fn is_full(&self, crowd: &Crowd, address: Option<IpAddr>) -> bool {
        let known = address.and_then(|address| self.by_address.get(&address).copied());
        self.all >= crowd.all_max || (address.is_some() && known.unwrap_or(0) >= crowd.each_max)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut inside = self.crowd.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = inside.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                inside.by_address.remove(&address);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, because one host can
/// use any address of such a network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_fills_its_share_and_leaves_the_rest_to_others() {
        let crowd = Crowd::new(3, 2);
        let (mine, yours) = (address("10.0.0.1"), address("10.0.0.2"));
        let first = crowd.enter(mine).unwrap();
        let _second = crowd.enter(mine).unwrap();
        assert!(crowd.is_full_for(mine) && !crowd.is_full_for(yours));
        assert!(crowd.enter(mine).is_none());
        let _third = crowd.enter(yours).unwrap();
        assert!(crowd.enter(yours).is_none());
        assert!(crowd.enter(None).is_none());
        drop(first);
        crowd.enter(mine).unwrap();
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_are_one_client() {
        let crowd = Crowd::new(9, 1);
        let _one = crowd.enter(address("2001:db8::1")).unwrap();
        assert!(crowd.enter(address("2001:db8::2:3")).is_none());
        assert!(crowd.enter(address("2001:db8:0:1::1")).is_some());
        let _mapped = crowd.enter(address("::ffff:10.0.0.1")).unwrap();
        assert!(crowd.enter(address("10.0.0.1")).is_none());
    }

    #[test]
    fn addresses_that_have_left_are_forgotten() {
        let crowd = Crowd::new(9, 9);
        drop(crowd.enter(address("10.0.0.1")));
        assert!(crowd.inside.lock().unwrap().by_address.is_empty());
    }
}
