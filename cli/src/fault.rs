//! What went wrong between here and the server, as what, where and what to do next.

use std::error::Error;
use std::io;

use remuda_api::resource::Problem;
use rustls::CertificateError;

use crate::connection::Connection;
use crate::failure::Failure;

/// A request that got no answer.
pub fn transport(connection: &Connection, error: &(dyn Error + 'static)) -> Failure {
    let cause = Cause::of(error);
    let api = &connection.api;
    let failure = Failure::new(format!("cannot reach the server at {api}: {}", cause.words(error)));
    match cause {
        Cause::WrongCa => failure.advice(format!(
            "its certificate was not signed by the CA in {}: another fleet answers there, or the file is an old one; \
             take ca.pem from the server's data directory (check --ca or REMUDA_CA)",
            connection.ca_file.display()
        )),
        Cause::WrongName => failure
            .advice("reach it by an address that its certificate names, or start the server with --advertise ADDRESS"),
        Cause::Expired => failure.advice("check the clocks of both machines"),
        Cause::NotTls => failure.advice("something else listens there; check --api (or REMUDA_API)"),
        Cause::Refused => {
            failure.advice("nothing listens there: is `remuda server` running? Check --api (or REMUDA_API)")
        }
        Cause::TimedOut | Cause::Other => {
            failure.advice("is the host up and port 8443/tcp open? Check --api (or REMUDA_API)")
        }
    }
}

/// An answer that stopped in the middle.
pub fn broken_stream(api: &str, error: &(dyn Error + 'static)) -> Failure {
    Failure::new(format!("the connection to the server at {api} broke: {}", Cause::of(error).words(error)))
        .advice("run it again; `remuda version` shows whether the server answers")
}

/// An answer that says no.
pub fn refused(connection: &Connection, path: &str, problem: &Problem) -> Failure {
    match problem.status {
        401 => {
            Failure::new(format!("the server at {} does not know this API key: {}", connection.api, sentence(problem)))
                .advice(format!(
                    "the key was read from {}; check --key-file (or REMUDA_KEY_FILE)",
                    connection.key_file.display()
                ))
        }
        403 => Failure::new(format!("this API key may not do that: {}", sentence(problem)))
            .advice(format!("the key was read from {}; another one may be allowed to", connection.key_file.display())),
        404 => Failure::new(format!("the server at {} does not know {path}", connection.api))
            .advice("`remuda version` shows both versions; the server may be older than this command"),
        500.. => Failure::new(format!("the server at {} failed: {}", connection.api, sentence(problem)))
            .details(errors(problem))
            .advice("its log says more; the fleet goes on without it"),
        _ => Failure::new(sentence(problem)).details(errors(problem)),
    }
}

/// Title and detail as one sentence.
pub fn sentence(problem: &Problem) -> String {
    let status = reqwest::StatusCode::from_u16(problem.status).ok().and_then(|status| status.canonical_reason());
    match (problem.title.trim(), problem.detail.trim()) {
        (title, "") => title.to_owned(),
        // HTTP's own word for the status says nothing to a person.
        (title, detail) if status.is_some_and(|words| words.eq_ignore_ascii_case(title)) => detail.to_owned(),
        ("", detail) => detail.to_owned(),
        (title, detail) if detail.starts_with(title) => detail.to_owned(),
        (title, detail) => format!("{title}: {detail}"),
    }
}

/// One line per thing that is wrong in the body.
pub fn errors(problem: &Problem) -> Vec<String> {
    let line = |error: &remuda_api::resource::FieldError| match error.field.as_str() {
        "" => error.message.clone(),
        field => format!("{field}: {}", error.message),
    };
    problem.errors.iter().map(line).collect()
}

impl Connection {
    /// The server's address, for messages.
    pub fn describe(&self) -> String {
        self.api.clone()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Refused,
    TimedOut,
    WrongCa,
    WrongName,
    Expired,
    NotTls,
    Other,
}

impl Cause {
    /// Looks through the chain of causes for the one that says most.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        let mut found = Self::Other;
        while let Some(error) = next {
            if let Some(cause) = Self::of_one(error) {
                found = cause;
            }
            next = error.source();
        }
        found
    }

    fn of_one(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(Self::of_tls(tls));
        }
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
            return Some(Self::TimedOut);
        }
        let io = error.downcast_ref::<io::Error>()?;
        // io::Error hides the error it wraps from `source`, and one may wrap another.
        if let Some(inner) = io.get_ref() {
            let cause = Self::of(inner);
            return Some(cause).filter(|cause| *cause != Self::Other);
        }
        match io.kind() {
            io::ErrorKind::ConnectionRefused => Some(Self::Refused),
            io::ErrorKind::TimedOut => Some(Self::TimedOut),
            _ => None,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::NotValidForName)
            | rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) => Self::WrongName,
            rustls::Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Self::Expired,
            rustls::Error::InvalidCertificate(_) => Self::WrongCa,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other,
        }
    }

    fn words(self, error: &(dyn Error + 'static)) -> String {
        match self {
            Self::Refused => "connection refused".into(),
            Self::TimedOut => "no answer in time".into(),
            Self::WrongCa => "it is not the server of this fleet".into(),
            Self::WrongName => "its certificate is for other addresses".into(),
            Self::Expired => "its certificate is not valid at this time".into(),
            Self::NotTls => "what answers there does not speak TLS".into(),
            Self::Other => last_words(error),
        }
    }
}

/// The innermost cause: what stands before it says only that something failed.
fn last_words(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_inside_an_io_error() {
        let wrap = |tls| io::Error::new(io::ErrorKind::InvalidData, tls);
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(Cause::of(&wrap(unknown)), Cause::WrongCa);
        let name = rustls::Error::InvalidCertificate(CertificateError::NotValidForName);
        assert_eq!(Cause::of(&wrap(name)), Cause::WrongName);
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert_eq!(Cause::of(&io::Error::other(wrap(expired))), Cause::Expired);
        assert_eq!(Cause::of(&io::Error::from(io::ErrorKind::ConnectionRefused)), Cause::Refused);
    }

    #[test]
    fn title_and_detail_are_said_once() {
        let problem =
            |title: &str, detail: &str| Problem { title: title.into(), detail: detail.into(), ..Problem::default() };
        assert_eq!(sentence(&problem("not found", "")), "not found");
        assert_eq!(sentence(&problem("not found", "no stack `x`")), "not found: no stack `x`");
        assert_eq!(sentence(&problem("no stack", "no stack `x`")), "no stack `x`");
        let bare = Problem { status: 422, ..problem("Unprocessable Entity", "port 8080 is taken") };
        assert_eq!(sentence(&bare), "port 8080 is taken");
    }
}
