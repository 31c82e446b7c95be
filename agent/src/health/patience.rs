//! A time limit for others that tells whether this process itself has overslept it.

use std::time::Duration;

use tokio::time::{Instant, timeout};

/// A limit that is noticed this much too late was missed by ourselves: paused, swapped out, starved.
const OVERSLEPT: Duration = Duration::from_millis(200);

/// Why something was not done in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    TookTooLong,
    /// We were asleep when the limit came: what happened meanwhile proves nothing. Worth another try.
    WeSlept,
}

/// Does `work` within `limit`.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Late> {
    let began = Instant::now();
    match timeout(limit, work).await {
        Ok(done) => Ok(done),
        Err(_) if began.elapsed() > limit + OVERSLEPT => Err(Late::WeSlept),
        Err(_) => Err(Late::TookTooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn what_takes_longer_than_its_time_is_told_from_a_sleep_of_our_own() {
        assert_eq!(within(LIMIT, async { 7 }).await, Ok(7));
        assert_eq!(within(LIMIT, std::future::pending::<()>()).await, Err(Late::TookTooLong));
        let paused = async {
            // Not the task: the whole process, as a SIGSTOP does.
            std::thread::sleep(4 * LIMIT);
            std::future::pending::<()>().await
        };
        assert_eq!(within(LIMIT, paused).await, Err(Late::WeSlept));
    }
}
