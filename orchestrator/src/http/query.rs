//! Query strings: repeated keys allowed, unknown ones refused, like fields of a body.

use http::StatusCode;
use http::request::Parts;
use remuda_api::resource::FieldError;

use super::Refusal;

/// The pairs of a request's query string, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Query {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Query::parse(parts.uri.query().unwrap_or(""))
    }
}

impl Query {
    fn parse(text: &str) -> Result<Query, Refusal> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(key)?, decode(value)?))
        });
        let pairs = pairs.collect::<Option<_>>();
        let fault = || Refusal::new(StatusCode::BAD_REQUEST, "the query string is not percent-encoded UTF-8");
        pairs.map(|pairs| Query { pairs }).ok_or_else(fault)
    }

    /// Refuses keys other than these, all at once.
    pub fn only(self, known: &[&str]) -> Result<Query, Refusal> {
        let strange = self.pairs.iter().map(|(key, _)| key).filter(|key| !known.contains(&key.as_str()));
        let errors: Vec<FieldError> = strange
            .map(|key| FieldError {
                field: key.clone(),
                message: format!("is not known; there are: {}", known.join(", ")),
            })
            .collect();
        if errors.is_empty() { Ok(self) } else { Err(Refusal::invalid(errors)) }
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(held, _)| held == key).map(|(_, value)| value.as_str())
    }

    pub fn text<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).next()
    }

    /// A number; 0 when absent.
    pub fn number<N: std::str::FromStr + Default>(&self, key: &str) -> Result<N, Refusal> {
        self.text(key).map_or(Ok(N::default()), |text| text.parse().map_err(|_| wrong(key, "is no number in range")))
    }

    /// `true` or `false`; false when absent.
    pub fn flag(&self, key: &str) -> Result<bool, Refusal> {
        match self.text(key) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(wrong(key, "is `true` or `false`")),
        }
    }

    /// A value that must be there.
    pub fn required<'a>(&'a self, key: &'a str) -> Result<&'a str, Refusal> {
        self.text(key).filter(|text| !text.is_empty()).ok_or_else(|| wrong(key, "is missing"))
    }
}

fn wrong(key: &str, why: &str) -> Refusal {
    Refusal::invalid(vec![FieldError { field: key.to_owned(), message: why.to_owned() }])
}

/// `%41+b` as `A b`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[2..];
            }
            plain => bytes.push(*plain),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_their_order_and_their_blanks() {
        let query = Query::parse("argv=sh&argv=-c&argv=echo%20a+b%26c&rows=24").expect("well-formed");
        assert_eq!(query.all("argv").collect::<Vec<_>>(), ["sh", "-c", "echo a b&c"]);
        assert_eq!(query.number::<u16>("rows").expect("a number"), 24);
    }

    #[test]
    fn broken_encoding_and_unknown_keys_are_refused() {
        for text in ["a=%4", "a=%zz", "a=%ff"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
        assert!(Query::parse("b=1").expect("well-formed").only(&["a"]).is_err());
    }
}
