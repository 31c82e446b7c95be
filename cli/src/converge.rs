//! Waiting until the fleet is as asked, awake only when the server says that something changed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::client::{Client, EventStream, Refusal};
use crate::display::Display;
use crate::emptying::Emptying;
use crate::failure::{Failure, Outcome};
use crate::patience::{Patience, Verdict};
use crate::progress::{Progress, Scope, Seen, Want, measure};

/// `--timeout` where nothing is said.
pub const DEFAULT_TIMEOUT: &str = "60s";
/// A watch that is silent for this long is asked again: the connection may be dead without saying so.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// First and last pause before a lost server is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(2);

/// What to wait for, and how long.
pub struct Goal {
    pub aim: Aim,
    pub timeout: Duration,
    /// Words for success: `shop is up`.
    pub done: String,
}

pub enum Aim {
    /// Containers of services as wanted. Hosts must have done every step of `generation`; 0 = any.
    Services { scope: Scope, want: Want, generation: u64 },
    /// Nothing left on a host.
    Empty(Emptying),
}

/// How following ended, when nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    /// By Ctrl-C: what was asked for goes on.
    Detached,
}

/// Follows until done, detached by Ctrl-C, or out of time.
pub async fn converge(client: &Client, goals: &[Goal]) -> Outcome {
    Ok(pursue(client, goals).await?.code())
}

impl End {
    /// Who stops following does not know that it is done: `remuda host drain h2 && reboot` must not go on.
    pub fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Detached => ExitCode::FAILURE,
        }
    }
}

/// [`converge`] for those who have more to say at its end.
pub async fn pursue(client: &Client, goals: &[Goal]) -> Result<End, Failure> {
    let started = Instant::now();
    let mut display = Display::new(goals.iter().map(|goal| goal.aim.lines()).sum());
    let outcome = tokio::select! {
        outcome = follow(client, goals, &mut display) => outcome,
        _ = tokio::signal::ctrl_c() => {
            display.end();
            let again = goals.first().map(|goal| goal.aim.again()).unwrap_or_default();
            eprintln!("detached: the fleet goes on with it; {again}");
            return Ok(End::Detached);
        }
    };
    display.end();
    outcome?;
    let words: Vec<&str> = goals.iter().map(|goal| goal.done.as_str()).collect();
    eprintln!("{} ({:.1} s)", words.join(", "), started.elapsed().as_secs_f64());
    Ok(End::Done)
}

impl Aim {
    fn measure(&self, seen: &Seen) -> Progress {
        match self {
            Self::Services { scope, want, generation } => measure(scope, *want, *generation, seen),
            Self::Empty(emptying) => emptying.measure(seen),
        }
    }

    /// No change of ours has to be published everywhere before it counts.
    fn is_only_asking(&self) -> bool {
        matches!(self, Self::Services { generation: 0, .. } | Self::Empty(_))
    }

    /// How many bars it takes, as far as is known.
    fn lines(&self) -> usize {
        match self {
            Self::Services { scope, .. } => scope.services.as_ref().map_or(1, Vec::len),
            Self::Empty(_) => 1,
        }
    }

    /// What waits for the same, in words.
    fn again(&self) -> String {
        match self {
            Self::Services { scope, want, .. } => {
                let gone = if *want == Want::Gone { " --for gone" } else { "" };
                let name = match &scope.services {
                    Some(names) if names.len() == 1 => format!("{}/{}", scope.stack, names[0]),
                    _ => scope.stack.clone(),
                };
                format!("`remuda wait {name}{gone}` waits for it again")
            }
            Self::Empty(Emptying { host, .. }) => {
                format!("`remuda host drain {host}` follows it again, `remuda host activate {host}` calls it off")
            }
        }
    }
}

async fn follow(client: &Client, goals: &[Goal], display: &mut Display) -> Result<(), Failure> {
    let limit = goals.iter().map(|goal| goal.timeout).max().unwrap_or_default();
    let deadline = tokio::time::Instant::now() + limit;
    let mut last = None;
    let mut pause = RETRY_FIRST;
    loop {
        let attempt = timeout_at(deadline, watch(client, goals, display, &mut last, &mut pause)).await;
        match attempt {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(lost)) if last.is_none() => return Err(lost),
            Ok(Err(_)) => {
                display.say("the server does not answer; trying again (the fleet goes on without it)");
                if timeout_at(deadline, tokio::time::sleep(pause)).await.is_err() {
                    return Err(out_of_time(limit, last));
                }
                pause = (pause * 2).min(RETRY_LAST);
            }
            Err(_) => return Err(out_of_time(limit, last)),
        }
    }
}

/// Until done; an error means that the server was lost. The watch is opened before the first look, so that no change
/// falls between the two.
async fn watch(
    client: &Client,
    goals: &[Goal],
    display: &mut Display,
    last: &mut Option<Vec<Progress>>,
    pause: &mut Duration,
) -> Result<(), Failure> {
    let mut ticks = client.events(&["watch"], &[]).await.map_err(Refusal::into_failure)?;
    let mut patience = Patience::new(goals.iter().all(|goal| goal.aim.is_only_asking()));
    // The first tick comes at once.
    let mut limit = SILENCE_LIMIT;
    loop {
        next_tick(&mut ticks, limit).await?;
        let seen = look(client).await?;
        *pause = RETRY_FIRST;
        let progress: Vec<Progress> = goals.iter().map(|goal| goal.aim.measure(&seen)).collect();
        progress.iter().for_each(|progress| display.show(progress));
        let verdict = patience.judge(&progress, Instant::now());
        if verdict == Verdict::DoneButLate {
            display.say(&format!("note: {}", late(&progress)));
        }
        *last = Some(progress);
        match verdict {
            Verdict::Done | Verdict::DoneButLate => return Ok(()),
            Verdict::Again(after) => limit = after.min(SILENCE_LIMIT),
        }
    }
}

/// All containers run, and some hosts have not said that they have published it.
fn late(progress: &[Progress]) -> String {
    let mut hosts: Vec<&str> = progress.iter().flat_map(|progress| &progress.behind).map(String::as_str).collect();
    hosts.sort_unstable();
    hosts.dedup();
    format!("{} has not confirmed the change yet (`remuda host inspect` shows its generation)", hosts.join(", "))
}

/// Returns when something changed, or nothing for `limit`.
async fn next_tick(ticks: &mut EventStream, limit: Duration) -> Result<(), Failure> {
    match tokio::time::timeout(limit, ticks.next()).await {
        Ok(Some(Ok(_))) => {
            ticks.skip_ready();
            Ok(())
        }
        Ok(Some(Err(failure))) => Err(failure),
        Ok(None) => Err(Failure::new("the server ended the watch")),
        Err(_) => Ok(()),
    }
}

pub async fn look(client: &Client) -> Result<Seen, Failure> {
    let (services, containers, hosts) =
        tokio::try_join!(client.get(&["services"]), client.get(&["containers"]), client.get(&["hosts"]))?;
    Ok(Seen { services, containers, hosts })
}

fn out_of_time(limit: Duration, last: Option<Vec<Progress>>) -> Failure {
    let last = last.unwrap_or_default();
    let missing: Vec<String> = last.iter().map(Progress::missing).filter(|words| !words.is_empty()).collect();
    let missing = if missing.is_empty() { "the server did not answer".into() } else { missing.join("; ") };
    Failure::new(format!("not done after {} s: {missing}", limit.as_secs_f64()))
        .details(last.iter().flat_map(Progress::reasons))
        .advice("the fleet goes on trying; `remuda ps` shows where it stands, `remuda logs NAME` what a container said, --timeout waits longer")
}
