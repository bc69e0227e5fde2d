//! Who a node is: an Ed25519 key (RFC 8032) that outlives restarts.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use core::fmt;
use core::str::FromStr;

/// What stands before the digits of a public key in configuration files.
const PREFIX: &str = "ed25519:";

/// A key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The text is not `ed25519:` and 64 hexadecimal digits.
    #[error("a public key is ed25519: and 64 hexadecimal digits")]
    Text,
    /// The library refused the bytes.
    #[error("these bytes are no key")]
    Bytes,
}

/// The public half: what signs for a node. Written as `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicIdentity(pub [u8; 32]);

/// The private half. The library keeps it in memory that it clears when it is dropped.
pub struct Identity {
    pair: Ed25519KeyPair,
    public: PublicIdentity,
}

impl Identity {
    /// The identity of a seed: 32 random bytes (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// [`BadKey::Bytes`] where the library can not use it.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Identity, BadKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| BadKey::Bytes)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| BadKey::Bytes)?;
        Ok(Identity { pair, public: PublicIdentity(public) })
    }

    /// The public half.
    pub fn public(&self) -> PublicIdentity {
        self.public
    }

    /// Signs a message; the same message has the same signature. All zero, which verifies nowhere, where the library
    /// fails.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.try_sign(message).ok();
        signature.and_then(|signature| signature.as_ref().try_into().ok()).unwrap_or([0; 64])
    }
}

impl PublicIdentity {
    /// Whether the identity signed this message.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shows the public half only.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public)
    }
}

impl FromStr for PublicIdentity {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<PublicIdentity, BadKey> {
        let digits = text.strip_prefix(PREFIX).ok_or(BadKey::Text)?.as_bytes();
        if digits.len() != 64 {
            return Err(BadKey::Text);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(BadKey::Text) };
            *byte = (high << 4 | low) as u8;
        }
        Ok(PublicIdentity(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 section 7.1, test 1.
    #[test]
    fn the_published_key() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed = PublicIdentity::from_str(&format!("{PREFIX}{seed}")).unwrap().0;
        let identity = Identity::from_seed(&seed).unwrap();
        let text = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(identity.public().to_string(), text);
        assert_eq!(text.parse(), Ok(identity.public()));
        let signature = identity.sign(b"");
        assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(identity.public().verify(b"", &signature));
        assert!(!identity.public().verify(b"x", &signature));
    }

    #[test]
    fn other_texts_are_no_key() {
        let digits = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let cut = format!("{PREFIX}{}", &digits[1..]);
        let odd = format!("{PREFIX}{}g", &digits[1..]);
        let wide = format!("{PREFIX}é{}", &digits[2..]);
        for wrong in ["", PREFIX, digits, &cut, &odd, &wide] {
            assert_eq!(wrong.parse::<PublicIdentity>(), Err(BadKey::Text), "{wrong}");
        }
    }
}
