//! The line an HTTP check sends: [`normal`].

/// Longest request line, bytes: the limit most servers have (RFC 9112, 3 asks for 8000).
pub const MAX_BYTES: usize = 8_000;
/// What is spoken when the line does not say, as HAProxy does under Rancher: its answer needs no `Host:`.
const VERSION_DEFAULT: &str = "HTTP/1.0";
/// IANA's registry of methods but for CONNECT and PRI, which ask for no answer about a path. Another word is a typing
/// error, and a check that sends it fails for ever.
#[rustfmt::skip]
const METHODS: [&str; 38] = [
    "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN",
    "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF",
    "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "QUERY", "REBIND", "REPORT", "SEARCH", "UNBIND",
    "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
];

/// `METHOD target HTTP/1.x` with single blanks, as it is sent.
///
/// Takes what people write: inner quotes (`GET "/" "HTTP/1.0"`) and a missing version (`GET /ping`). Errors with what is
/// wrong, to be read after the field's name.
pub fn normal(text: &str) -> Result<String, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("{} bytes are too long: at most {MAX_BYTES}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("is one line without control characters: headers cannot be added".into());
    }
    let words: Vec<&str> = text.split_whitespace().map(unquoted).collect();
    let (method, target, version) = match words[..] {
        [method, target] => (method, target, VERSION_DEFAULT),
        [method, target, version] => (method, target, version),
        _ => return Err("expected METHOD TARGET [HTTP/1.x], such as `GET /ping HTTP/1.0`".into()),
    };
    if !METHODS.contains(&method) {
        return Err("begins with a method of HTTP in upper case, such as `GET` or `HEAD`".into());
    }
    if !is_target(target) {
        return Err("the second word is a path beginning with `/`, percent-encoded where it is not ASCII".into());
    }
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return Err("the version is `HTTP/1.0` or `HTTP/1.1`".into());
    }
    Ok(format!("{method} {target} {version}"))
}

fn unquoted(word: &str) -> &str {
    word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(word)
}

/// RFC 9112, 3.2.1 and 3.2.4: origin form, or `*`.
fn is_target(target: &str) -> bool {
    let is_path =
        target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b));
    is_path || target == "*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_with_or_without_quotes_and_version() {
        for (text, line) in [
            ("GET / HTTP/1.0", "GET / HTTP/1.0"),
            (r#"GET "/" "HTTP/1.0""#, "GET / HTTP/1.0"),
            ("  HEAD  /a?b=c%20d   HTTP/1.1 ", "HEAD /a?b=c%20d HTTP/1.1"),
            ("GET /ping", "GET /ping HTTP/1.0"),
            ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ] {
            assert_eq!(normal(text).as_deref(), Ok(line), "{text}");
            assert_eq!(normal(line).as_deref(), Ok(line), "a normal line stays as it is");
        }
    }

    #[test]
    fn what_is_no_request_line_is_refused() {
        let long = format!("GET /{}", "x".repeat(MAX_BYTES));
        for text in [
            "",
            "GET",
            "GETT / HTTP/1.0",
            "-_1 / HTTP/1.0",
            "CONNECT / HTTP/1.0",
            "/ping",
            "get / HTTP/1.0",
            "GET ping",
            "GET / HTTP/2.0",
            "GET / HTTP/1.0 x",
            "GET / http/1.0",
            "GET /\r\nHost: x",
            "GET /a\tb",
            "GET /ü",
            "GET \"/a b\"",
            "\"\" / HTTP/1.0",
            "GET http://x/ HTTP/1.1",
            &long,
        ] {
            assert!(normal(text).is_err(), "{text:?}");
        }
    }
}
