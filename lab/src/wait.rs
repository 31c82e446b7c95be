//! Waiting for something outside this process, with a deadline and words for when it does not come.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How often the condition is looked at; what lies outside (another process, the kernel) sends us no event.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `look` finds something; errors with `what` and what was seen last when `limit` is over.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => String::from("not yet"),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            bail!("{what}: not within {:.1} s; last seen: {last}", limit.as_secs_f32());
        }
        std::thread::sleep(POLL);
    }
}

/// Waits until `is_so`.
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) -> Result<()> {
    wait_for(what, limit, || Ok(is_so().then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_come_is_named_with_what_was_seen_last() {
        let waited: Result<()> = wait_for("a pony", Duration::ZERO, || bail!("only a horse"));
        assert_eq!(waited.unwrap_err().to_string(), "a pony: not within 0.0 s; last seen: only a horse");
    }

    #[test]
    fn the_third_look_may_find_it() {
        let mut looks = 0;
        wait_until("three", Duration::from_secs(5), || {
            looks += 1;
            looks == 3
        })
        .unwrap();
    }
}
