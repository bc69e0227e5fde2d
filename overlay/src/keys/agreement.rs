//! An epoch's private key, and what it agrees on with a peer's public one (X25519, RFC 7748).

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

/// A private X25519 key. The library clears its memory when it is dropped.
pub struct EpochSecret {
    key: PrivateKey,
    public: [u8; 32],
}

impl EpochSecret {
    /// The key of 32 random bytes; `None` where the library can not use them.
    pub fn new(random: &[u8; 32]) -> Option<EpochSecret> {
        let key = PrivateKey::from_private_key(&X25519, random).ok()?;
        let public = key.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(EpochSecret { key, public })
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The secret shared with whoever has the private half of `public`; `None` where `public` is one of the points
    /// that make it the same for everybody (RFC 7748 section 6.1).
    pub fn agree(&self, public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        agree(&self.key, UnparsedPublicKey::new(&X25519, public), (), |secret| {
            secret.try_into().map(Zeroizing::new).map_err(|_| ())
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_and_nobody_agrees_with_a_low_order_point() {
        let [alice, bob] = [1, 2].map(|seed| EpochSecret::new(&[seed; 32]).unwrap());
        assert_eq!(alice.agree(&bob.public()), bob.agree(&alice.public()));
        assert!(alice.agree(&bob.public()).is_some());
        let mut one = [0; 32];
        assert!(alice.agree(&one).is_none());
        one[0] = 1;
        assert!(alice.agree(&one).is_none());
    }
}
