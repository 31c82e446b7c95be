//! The join token: whom to trust, and the secret to show them: `remuda1.<CA digest>.<secret>`.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const VERSION: &str = "remuda1";
const DIGEST_BYTES: usize = 32;
const SECRET_BYTES: usize = 32;
/// A token has about a hundred; more is some other file.
const TOKEN_MAX_BYTES: u64 = 1024;

/// A parsed token. It does not show its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the fleet's CA certificate (DER).
    pub ca_digest: [u8; DIGEST_BYTES],
    secret: String,
}

/// Why a token is refused before anyone is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is empty: paste the whole line that `remuda token create` or `remuda server` printed")]
    Empty,
    #[error("it does not begin with `{VERSION}.`: it is no join token, or one of another version of Remuda")]
    Version,
    #[error("it is cut off: {0} bytes of its {1} are there, {2} belong there; copy the whole token")]
    Length(usize, &'static str, usize),
    #[error("its {0} is damaged: copy it again, without line breaks")]
    Damaged(&'static str),
}

impl Token {
    pub fn parse(text: &str) -> Result<Token, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        let rest = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('.')).ok_or(TokenError::Version)?;
        let (digest, secret) = rest.split_once('.').unwrap_or((rest, ""));
        let ca_digest = part(digest, "CA digest", DIGEST_BYTES)?;
        part(secret, "secret", SECRET_BYTES)?;
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&ca_digest);
        Ok(Token { ca_digest: digest, secret: secret.to_owned() })
    }

    /// For the one that proved to own the CA, and for nobody else.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("ca_digest", &hex(&self.ca_digest)).finish_non_exhaustive()
    }
}

/// From a file or, as `-`, from standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<Token> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(TOKEN_MAX_BYTES).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(TOKEN_MAX_BYTES).read_to_string(&mut text)?;
    }
    Ok(Token::parse(&text)?)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn part(text: &str, what: &'static str, len: usize) -> Result<Vec<u8>, TokenError> {
    let encoded = len.div_ceil(3) * 4 - 1;
    if text.len() < encoded {
        return Err(TokenError::Length(text.len(), what, encoded));
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Damaged(what))?;
    if bytes.len() == len { Ok(bytes) } else { Err(TokenError::Damaged(what)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> String {
        let [digest, secret] = [[7; 32], [9; 32]].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        format!("remuda1.{digest}.{secret}")
    }

    #[test]
    fn a_token_carries_the_digest_of_the_ca_and_never_shows_its_secret() {
        let token = Token::parse(&format!(" {}\n", token())).expect("it is well formed");
        assert_eq!(token.ca_digest, [7; 32]);
        assert!(!format!("{token:?}").contains(token.secret()));
    }

    #[test]
    fn a_token_cut_anywhere_is_refused_with_the_reason() {
        let whole = token();
        for len in 0..whole.len() {
            assert!(Token::parse(&whole[..len]).is_err(), "{len} bytes of it");
        }
        let refusal = Token::parse(&whole[..whole.len() - 1]).expect_err("cut off").to_string();
        assert!(refusal.contains("42 bytes of its secret"), "{refusal}");
    }

    #[test]
    fn other_words_and_damage_are_refused() {
        assert_eq!(Token::parse("hello"), Err(TokenError::Version));
        assert_eq!(Token::parse(" \n"), Err(TokenError::Empty));
        assert_eq!(Token::parse(&token().replace("remuda1.B", "remuda1.!")), Err(TokenError::Damaged("CA digest")));
    }
}
