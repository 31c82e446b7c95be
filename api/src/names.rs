//! What may be called what (DESIGN.md section 5, "Names"), and the names that follow from others.

/// Longest DNS label (RFC 1035, 2.3.4).
pub const LABEL_MAX_BYTES: usize = 63;
/// Longest full name without the root dot.
pub const NAME_MAX_BYTES: usize = 253;
/// Our zone; full names are `service.stack.<env>.remuda.internal`.
pub const ZONE: &str = "remuda.internal";
/// Service names that mean something else inside a stack's zone.
pub const RESERVED_SERVICES: [&str; 3] = ["vip", "tasks", "localhost"];

/// Why a name is refused; reads after the name: "`vip` is reserved …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("is empty: give it a name of letters, digits, `-` and `_`")]
    Empty,
    #[error("is {0} bytes long; a DNS label holds at most {LABEL_MAX_BYTES}")]
    TooLong(usize),
    #[error("may hold letters, digits, `-` and `_` and must begin with a letter or digit (found {0:?})")]
    BadCharacter(char),
    #[error("is reserved: `vip`, `tasks`, `localhost` and plain numbers have a meaning of their own in DNS")]
    Reserved,
    #[error("makes the full name {0} bytes long; DNS holds at most {NAME_MAX_BYTES}")]
    FullNameTooLong(usize),
}

/// Checks the name of a stack, host or environment: one label, Compose's characters.
pub fn check_label(name: &str) -> Result<(), NameError> {
    let first = name.chars().next().ok_or(NameError::Empty)?;
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::BadCharacter(first));
    }
    if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_".contains(*c)) {
        return Err(NameError::BadCharacter(bad));
    }
    if name.len() > LABEL_MAX_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    Ok(())
}

/// Checks a service name of `stack`: a label, not reserved, and its longest full name fits.
pub fn check_service(stack: &str, service: &str) -> Result<(), NameError> {
    check_label(service)?;
    let lower = service.to_ascii_lowercase();
    if RESERVED_SERVICES.contains(&lower.as_str()) || lower.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameError::Reserved);
    }
    let container = container_name(stack, service, u32::MAX);
    if container.len() > LABEL_MAX_BYTES {
        return Err(NameError::TooLong(container.len()));
    }
    Ok(())
}

/// `<stack>-<service>-<n>`, n from 1.
pub fn container_name(stack: &str, service: &str, n: u32) -> String {
    format!("{stack}-{service}-{n}")
}

/// Full DNS name of a service without the root dot, lower case.
pub fn service_fqdn(environment: &str, stack: &str, service: &str) -> String {
    format!("{service}.{stack}.{environment}.{ZONE}").to_ascii_lowercase()
}

/// Two services whose container names could be equal: stack `a-b` service `c` beside stack `a` service `b-c`.
pub fn containers_could_collide(one: (&str, &str), other: (&str, &str)) -> bool {
    one != other && format!("{}-{}", one.0, one.1).eq_ignore_ascii_case(&format!("{}-{}", other.0, other.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_and_upper_case_are_fine() {
        assert_eq!(check_service("Shop", "my_Web-1"), Ok(()));
    }

    #[test]
    fn reserved_words_and_numbers_are_refused_in_any_case() {
        for name in ["vip", "VIP", "tasks", "localhost", "42"] {
            assert_eq!(check_service("shop", name), Err(NameError::Reserved), "{name}");
        }
    }

    #[test]
    fn dots_blanks_and_leading_dashes_are_refused() {
        assert_eq!(check_label("a.b"), Err(NameError::BadCharacter('.')));
        assert_eq!(check_label("-a"), Err(NameError::BadCharacter('-')));
        assert_eq!(check_label("a b"), Err(NameError::BadCharacter(' ')));
        assert_eq!(check_label(""), Err(NameError::Empty));
    }

    #[test]
    fn equal_container_names_from_two_stacks_are_found() {
        assert!(containers_could_collide(("a-b", "c"), ("a", "b-c")));
        assert!(!containers_could_collide(("a", "b"), ("a", "b")));
        assert!(!containers_could_collide(("a", "b"), ("a", "c")));
    }
}
