//! Join tokens and API keys: 32 random bytes each, shown once, stored as SHA-256.
//!
//! A token is `remuda1.<base64url(SHA-256 of the CA certificate)>.<base64url(secret)>`: the agent checks the CA
//! before it sends the secret.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use sha2::{Digest, Sha256};

use super::hex;
use crate::state::{State, Token};

const PREFIX: &str = "remuda1";
const KEY_PREFIX: &str = "remuda_key_";
const SECRET_BYTES: usize = 32;
/// Longest life and most uses of one token.
pub const TTL_MAX_S: u64 = 30 * 24 * 3600;
pub const USES_MAX: u32 = 10_000;

/// A new secret as text, and the digest under which the store knows it.
pub fn new_secret() -> (String, String) {
    let mut secret = [0u8; SECRET_BYTES];
    rand::rng().fill_bytes(&mut secret);
    let text = URL_SAFE_NO_PAD.encode(secret);
    let digest = digest_of(&text);
    (text, digest)
}

/// A new API key and its digest.
pub fn new_key() -> (String, String) {
    let key = format!("{KEY_PREFIX}{}", new_secret().0);
    let digest = digest_of(&key);
    (key, digest)
}

/// Digest of a secret or key as presented.
pub fn digest_of(presented: &str) -> String {
    hex(&Sha256::digest(presented.as_bytes()))
}

/// The token a new host is given.
pub fn format(ca_digest: &[u8; 32], secret: &str) -> String {
    format!("{PREFIX}.{}.{secret}", URL_SAFE_NO_PAD.encode(ca_digest))
}

/// Why a token does not open the door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the join token is incomplete: paste the whole line that `remuda token create` prints")]
    Truncated,
    #[error(
        "the join token is not known here: it may be another fleet's, or was used up or expired long ago; `remuda token create` on the server makes a new one"
    )]
    Unknown,
    #[error("the join token has expired: `remuda token create` on the server makes a new one")]
    Expired,
    #[error("the join token is used up: `remuda token create --uses N` on the server makes a new one")]
    UsedUp,
}

/// Takes one use of the token with this secret.
pub fn spend(state: &mut State, secret: &str, now_ms: u64) -> Result<(), TokenError> {
    if URL_SAFE_NO_PAD.decode(secret).map_or(true, |bytes| bytes.len() != SECRET_BYTES) {
        return Err(TokenError::Truncated);
    }
    let held = state.tokens.get_mut(&digest_of(secret)).ok_or(TokenError::Unknown)?;
    match **held {
        Token { expires_ms, .. } if expires_ms <= now_ms => Err(TokenError::Expired),
        Token { uses_left: 0, .. } => Err(TokenError::UsedUp),
        Token { .. } => {
            Arc::make_mut(held).uses_left -= 1;
            Ok(())
        }
    }
}

/// Adds a token and forgets those that expired a day ago; until then a late user learns why it is refused.
pub fn add(state: &mut State, digest: String, token: Token, now_ms: u64) {
    const REMEMBERED_MS: u64 = 24 * 3600 * 1000;
    state.tokens.retain(|_, token| token.expires_ms + REMEMBERED_MS > now_ms);
    state.tokens.insert(digest, Arc::new(token));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(token: Token) -> (State, String) {
        let (secret, digest) = new_secret();
        let mut state = State::default();
        add(&mut state, digest, token, 0);
        (state, secret)
    }

    #[test]
    fn a_token_with_two_uses_opens_twice() {
        let (mut state, secret) = with(Token { uses_left: 2, expires_ms: 100 });
        assert_eq!(spend(&mut state, &secret, 1), Ok(()));
        assert_eq!(spend(&mut state, &secret, 99), Ok(()));
        assert_eq!(spend(&mut state, &secret, 99), Err(TokenError::UsedUp));
    }

    #[test]
    fn expired_truncated_and_unknown_tokens_are_told_apart() {
        let (mut state, secret) = with(Token { uses_left: 2, expires_ms: 100 });
        assert_eq!(spend(&mut state, &secret, 100), Err(TokenError::Expired));
        assert_eq!(spend(&mut state, &secret[..20], 1), Err(TokenError::Truncated));
        assert_eq!(spend(&mut state, &new_secret().0, 1), Err(TokenError::Unknown));
    }
}
