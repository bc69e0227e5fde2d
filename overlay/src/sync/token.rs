//! Join tokens: what an operator carries from the server to a new node. Whoever has one may join once in the node's name.

use core::fmt;
use core::str::FromStr;

/// What a token begins with.
const MARK: &str = "proa-join";

/// A one-time token: `proa-join:NODE:SECRET:AUTHORITY`, the last two in hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The node that may join with it.
    pub node: String,
    /// What proves the right to.
    pub secret: [u8; 32],
    /// SHA-256 of the server's certificate authority, so that a node knows the server before it has met it.
    pub authority: [u8; 32],
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no join token; copy the whole line that `proactl node add` printed, beginning with {MARK}:")]
pub struct NoToken;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}:{}:{}:{}", self.node, hex(&self.secret), hex(&self.authority))
    }
}

/// Shows no secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.node)
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Token, NoToken> {
        let mut parts = text.trim().split(':');
        let mut part = || parts.next().ok_or(NoToken);
        if part()? != MARK {
            return Err(NoToken);
        }
        let node = part()?.to_owned();
        let (secret, authority) = (digits(part()?).ok_or(NoToken)?, digits(part()?).ok_or(NoToken)?);
        if node.is_empty() || parts.next().is_some() {
            return Err(NoToken);
        }
        Ok(Token { node, secret, authority })
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digits(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let pairs = text.as_bytes();
    if pairs.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs.chunks_exact(2)) {
        for digit in pair {
            *byte = *byte << 4 | char::from(*digit).to_digit(16)? as u8;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written_and_nothing_else_is() {
        let token = Token { node: "edge-1".to_owned(), secret: [0xa5; 32], authority: [0x0f; 32] };
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("a5"));
        for wrong in [
            "",
            "proa-join",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}:x"),
            &text.replace("a5", "g5"),
        ] {
            assert_eq!(wrong.parse::<Token>(), Err(NoToken), "{wrong}");
        }
    }
}
