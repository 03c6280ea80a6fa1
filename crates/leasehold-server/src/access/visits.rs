//! The visit of a browser to the pages: what its cookies and the tokens in its forms are worth.
//!
//! Each browser has a cookie that means nothing but itself. A form carries a token that only this
//! server can make from that cookie, so no other site can write a form for it. A second cookie
//! stands for the password once it was given. Both are signed with a key that lives in memory: they
//! end with the server.

use hmac::{Hmac, KeyInit, Mac};
use leasehold_engine::{Span, Timestamp};
use sha2::Sha256;

use crate::ids;

/// For how long a browser stays signed in.
const SIGNED_IN_FOR: Span = Span::from_seconds(12 * 3_600);

/// Signs cookies and tokens.
pub(crate) struct Visits {
    mac: Hmac<Sha256>,
}

impl Default for Visits {
    fn default() -> Self {
        let mut key = [0; 32];
        key[..16].copy_from_slice(ids::random().as_bytes());
        key[16..].copy_from_slice(ids::random().as_bytes());
        // Two random ids have 244 random bits. A key of the size of a block is always accepted.
        Self { mac: Hmac::new(&padded(key)) }
    }
}

impl Visits {
    /// A new visit.
    pub(crate) fn begin() -> String {
        ids::random().simple().to_string()
    }

    /// The token that the forms of a visit carry.
    pub(crate) fn token(&self, visit: &str) -> String {
        self.sign("form", visit)
    }

    /// Whether a form of this visit carries its token.
    pub(crate) fn is_token(&self, visit: &str, token: &str) -> bool {
        self.is_signed("form", visit, token)
    }

    /// The value of the cookie of a browser that has just given the password.
    pub(crate) fn sign_in(&self, now: Timestamp) -> String {
        let until = (now + SIGNED_IN_FOR).as_micros();
        let said = format!("{until}.{}", ids::random().simple());
        let signature = self.sign("signed-in", &said);
        format!("{said}.{signature}")
    }

    /// Whether this is the value of such a cookie, and its time is not over.
    pub(crate) fn is_signed_in(&self, cookie: &str, now: Timestamp) -> bool {
        let Some((said, signature)) = cookie.rsplit_once('.') else { return false };
        let until = said.split('.').next().and_then(|until| until.parse().ok());
        until.is_some_and(|until| Timestamp::from_micros(until) > now)
            && self.is_signed("signed-in", said, signature)
    }

    fn sign(&self, purpose: &str, text: &str) -> String {
        let bytes = self.mac_of(purpose, text).finalize().into_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn is_signed(&self, purpose: &str, text: &str, signature: &str) -> bool {
        let bytes: Option<Vec<u8>> = (signature.len() == 64 && signature.is_ascii())
            .then(|| (0..32).map(|at| u8::from_str_radix(&signature[2 * at..2 * at + 2], 16)))
            .and_then(|bytes| bytes.collect::<Result<_, _>>().ok());
        // Compares in constant time.
        bytes.is_some_and(|bytes| self.mac_of(purpose, text).verify_slice(&bytes).is_ok())
    }

    fn mac_of(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(purpose.as_bytes());
        mac.update(b":");
        mac.update(text.as_bytes());
        mac
    }
}

/// A key of 64 bytes, the block of the hash.
fn padded(key: [u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut padded = hmac::digest::Key::<Hmac<Sha256>>::default();
    padded[..32].copy_from_slice(&key);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_one_visit_of_one_server() {
        let visits = Visits::default();
        let token = visits.token("a");
        assert!(visits.is_token("a", &token));
        assert!(!visits.is_token("b", &token) && !Visits::default().is_token("a", &token));
        for wrong in ["", "é", &token[1..], &format!("{token}0"), &token.replace(|_| true, "x")] {
            assert!(!visits.is_token("a", wrong), "{wrong}");
        }
    }

    #[test]
    fn a_browser_stays_signed_in_until_its_time_is_over() {
        let (visits, now) = (Visits::default(), Timestamp::from_micros(5));
        let cookie = visits.sign_in(now);
        assert!(visits.is_signed_in(&cookie, now));
        assert!(!visits.is_signed_in(&cookie, now + SIGNED_IN_FOR));
        let longer = cookie.replacen("432", "932", 1);
        for wrong in ["", "1.2.3", &longer, &visits.token(&cookie)] {
            assert!(!visits.is_signed_in(wrong, now), "{wrong}");
        }
    }
}
