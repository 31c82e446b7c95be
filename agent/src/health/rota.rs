//! The running units of this host: whose health command's turn it is, and how each is. Those without one are as the
//! engine finds them by their image's own check; those without either are healthy, and stay so until told otherwise if
//! they are given a command while they run.
//!
//! An engine that was restarted begins its checks anew and says *starting* of units that never stopped: what was known
//! of the same start stands until it says more.

use std::collections::BTreeMap;

use remuda_api::health::HealthCommand;
use serde::{Deserialize, Serialize};

use super::slot;
use super::streak::Streak;
use crate::desired::DesiredUnit;
use crate::observed::{Health, Unit, UnitState, Verdict};

/// How units are, by name.
pub type Verdicts = BTreeMap<String, Known>;

/// How one start of a unit is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Unix milliseconds, as its holder says: another start is another story.
    pub started_ms: u64,
    pub health: Health,
}

/// Units that run. Times are milliseconds of any clock that never goes back.
#[derive(Debug, Default)]
pub struct Rota {
    pages: BTreeMap<String, Page>,
    last_serial: u64,
}

#[derive(Debug)]
struct Page {
    command: Option<HealthCommand>,
    /// What the engine said of it by its image's own check; only a verdict replaces another.
    image: Option<Verdict>,
    started_ms: u64,
    /// The same moment on our own clock.
    start_ms: u64,
    serial: u64,
    streak: Streak,
    /// None while it is under way, or without a command.
    due_ms: Option<u64>,
}

/// A command to run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub unit: String,
    pub argv: Vec<String>,
    pub timeout_ms: u64,
    began_ms: u64,
    serial: u64,
}

#[cfg(test)]
impl Turn {
    /// One of a unit that nobody follows.
    pub fn new(unit: &str, argv: &[String]) -> Turn {
        Turn { unit: unit.into(), argv: argv.to_vec(), timeout_ms: 5000, began_ms: 0, serial: 0 }
    }
}

impl Rota {
    /// Goes by these units from now on. One that was started again starts afresh; one that is `known` goes on.
    /// `unix_ms` is now on the clock by which starts are dated. Returns whether any verdict came or went.
    pub fn follow(
        &mut self,
        wanted: &BTreeMap<String, DesiredUnit>,
        units: &BTreeMap<String, Unit>,
        known: &Verdicts,
        now_ms: u64,
        unix_ms: u64,
    ) -> bool {
        let before: Vec<_> = self.pages.iter().map(|(name, page)| (name.clone(), page.serial)).collect();
        let mut pages = std::mem::take(&mut self.pages);
        for (name, wanted) in wanted.iter().filter(|(_, wanted)| !wanted.stop) {
            let Some(unit) = units.get(name) else { continue };
            if !matches!(unit.state, UnitState::Running { .. }) {
                continue;
            }
            let image = unit.image_health.as_ref().map(|health| health.verdict);
            let same = |page: &Page| {
                (page.started_ms, &page.command, page.image) == (unit.started_ms, &wanted.health_command, image)
            };
            let page = match pages.remove(name).filter(same) {
                Some(page) => page,
                None => self.page(unit, wanted.health_command.as_ref(), known, now_ms, unix_ms),
            };
            self.pages.insert(name.clone(), page);
        }
        !before
            .iter()
            .map(|(name, serial)| (name, serial))
            .eq(self.pages.iter().map(|(name, page)| (name, &page.serial)))
    }

    fn page(
        &mut self,
        unit: &Unit,
        command: Option<&HealthCommand>,
        known: &Verdicts,
        now_ms: u64,
        unix_ms: u64,
    ) -> Page {
        self.last_serial += 1;
        let known = known.get(&unit.name).filter(|known| known.started_ms == unit.started_ms);
        let image = unit.image_health.as_ref().map(|health| health.verdict);
        let known = known.map(|known| known.health.clone());
        let streak = Streak::from(match (command, &unit.image_health) {
            (None, None) => Health { verdict: Verdict::Healthy, reason: String::new() },
            (None, Some(found)) if found.verdict != Verdict::Initializing => found.clone(),
            _ => known.unwrap_or_default(),
        });
        let start_ms = now_ms.saturating_sub(unix_ms.saturating_sub(unit.started_ms));
        let due_ms = command.map(|command| {
            let wait_ms = streak.wait_ms(command, now_ms - start_ms);
            match start_ms.saturating_add(wait_ms) {
                // It is adopted in the middle of its life, with others: spread them.
                past_ms if past_ms < now_ms => slot::first_ms(slot::place(0, &unit.name), now_ms, wait_ms),
                ahead_ms => ahead_ms,
            }
        });
        let (command, started_ms, serial) = (command.cloned(), unit.started_ms, self.last_serial);
        Page { command, image, started_ms, start_ms, serial, streak, due_ms }
    }

    /// The unit that has waited longest of those whose turn it is; its turn ends with [`Rota::done`].
    pub fn begin(&mut self, now_ms: u64) -> Option<Turn> {
        let due = self.pages.iter_mut().filter(|(_, page)| page.due_ms.is_some_and(|due_ms| due_ms <= now_ms));
        let (name, page) = due.min_by_key(|(_, page)| page.due_ms)?;
        page.due_ms = None;
        let command = page.command.as_ref()?;
        let (argv, timeout_ms) = (command.argv.clone(), command.timeout_ms);
        Some(Turn { unit: name.clone(), argv, timeout_ms, began_ms: now_ms, serial: page.serial })
    }

    /// When the next turn is.
    pub fn next_ms(&self) -> Option<u64> {
        self.pages.values().filter_map(|page| page.due_ms).min()
    }

    /// Takes back a turn that came to nothing, as if it had not been: the unit has its next one as after any other.
    pub fn put_back(&mut self, turn: &Turn, now_ms: u64) {
        let Some(page) = self.pages.get_mut(&turn.unit).filter(|page| page.serial == turn.serial) else { return };
        let Some(command) = &page.command else { return };
        let wait_ms = page.streak.wait_ms(command, now_ms.saturating_sub(page.start_ms));
        page.due_ms = Some(now_ms.saturating_add(wait_ms));
    }

    /// Takes a result; one of a unit that ended or was started again meanwhile counts for nothing. Returns whether the
    /// unit's verdict changed.
    pub fn done(&mut self, turn: &Turn, result: Result<(), String>, now_ms: u64) -> bool {
        let Some(page) = self.pages.get_mut(&turn.unit).filter(|page| page.serial == turn.serial) else { return false };
        let Some(command) = &page.command else { return false };
        let since_start = |ms: u64| ms.saturating_sub(page.start_ms);
        let has_changed = page.streak.note(command, since_start(turn.began_ms), result);
        page.due_ms = Some(now_ms.saturating_add(page.streak.wait_ms(command, since_start(now_ms))));
        has_changed
    }

    pub fn verdicts(&self) -> Verdicts {
        let known = |page: &Page| Known { started_ms: page.started_ms, health: page.streak.health.clone() };
        self.pages.iter().map(|(name, page)| (name.clone(), known(page))).collect()
    }
}

/// Each unit with what is known of this start of it.
pub fn join(units: &mut BTreeMap<String, Unit>, verdicts: &Verdicts) {
    for unit in units.values_mut() {
        let known = verdicts.get(&unit.name).filter(|known| known.started_ms == unit.started_ms);
        unit.health = known.map(|known| known.health.clone()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::desired;
    use crate::desired::tests::two_hosts;

    const WEB: &str = "shop-web-1";
    /// The unit's clock, far from ours.
    const UNIX_MS: u64 = 1_700_000_000_000;
    const INTERVAL_MS: u64 = 2000;

    fn wanted() -> BTreeMap<String, DesiredUnit> {
        let mut assignment = two_hosts();
        let command = HealthCommand { interval_ms: INTERVAL_MS, retries: 1, ..HealthCommand::new(vec!["true".into()]) };
        assignment.containers[0].health_command = Some(command);
        desired(&assignment, &[]).expect("valid").units
    }

    fn running(started_ms: u64) -> BTreeMap<String, Unit> {
        let unit = Unit {
            name: WEB.into(),
            spec_revision: 1,
            ip: None,
            state: UnitState::Running { pid: 9 },
            restarts: 0,
            started_ms,
            exited_ms: 0,
            can_start: true,
            plugged: true,
            health: Health::default(),
            image_health: None,
        };
        BTreeMap::from([(WEB.to_owned(), unit)])
    }

    fn health(rota: &Rota) -> Option<Verdict> {
        rota.verdicts().get(WEB).map(|known| known.health.verdict)
    }

    #[test]
    fn the_first_turn_comes_one_interval_after_the_start_and_the_next_one_interval_after_its_end() {
        let mut rota = Rota::default();
        assert!(rota.follow(&wanted(), &running(UNIX_MS - 300), &Verdicts::new(), 1000, UNIX_MS));
        assert_eq!(rota.next_ms(), Some(1000 - 300 + INTERVAL_MS));
        assert_eq!(rota.begin(1000), None);
        let turn = rota.begin(2700).expect("its turn");
        assert_eq!((rota.begin(60_000), rota.next_ms()), (None, None), "it is under way");
        assert!(rota.done(&turn, Ok(()), 3500));
        assert_eq!((rota.next_ms(), health(&rota)), (Some(3500 + INTERVAL_MS), Some(Verdict::Healthy)));
        assert!(!rota.follow(&wanted(), &running(UNIX_MS - 300), &Verdicts::new(), 4000, UNIX_MS + 3000));
        assert_eq!(health(&rota), Some(Verdict::Healthy));
    }

    #[test]
    fn a_unit_that_was_started_again_starts_afresh_and_one_that_ended_is_not_asked() {
        let mut rota = Rota::default();
        rota.follow(&wanted(), &running(UNIX_MS), &Verdicts::new(), 0, UNIX_MS);
        let turn = rota.begin(INTERVAL_MS).expect("its turn");
        assert!(rota.follow(&wanted(), &running(UNIX_MS + 1), &Verdicts::new(), 2500, UNIX_MS + 2500));
        assert!(!rota.done(&turn, Ok(()), 3000), "that was another start of it");
        assert_eq!(health(&rota), Some(Verdict::Initializing));
        assert!(rota.follow(&wanted(), &BTreeMap::new(), &Verdicts::new(), 3000, UNIX_MS + 3000));
        assert_eq!((health(&rota), rota.next_ms()), (None, None));
    }

    #[test]
    fn what_an_agent_before_knew_stands_until_it_is_found_otherwise() {
        let known = Health { verdict: Verdict::Healthy, reason: String::new() };
        let known = Verdicts::from([(WEB.to_owned(), Known { started_ms: UNIX_MS, health: known })]);
        let mut rota = Rota::default();
        let (now_ms, unix_ms) = (10_000_000, UNIX_MS + 3_600_000);
        rota.follow(&wanted(), &running(UNIX_MS), &known, now_ms, unix_ms);
        assert_eq!(health(&rota), Some(Verdict::Healthy));
        assert!(rota.next_ms().is_some_and(|ms| ms <= now_ms + 500), "it is looked at soon");
        let mut other = Rota::default();
        other.follow(&wanted(), &running(UNIX_MS + 1), &known, now_ms, unix_ms);
        assert_eq!(health(&other), Some(Verdict::Initializing), "that was another start of it");
    }

    #[test]
    fn a_unit_that_is_given_a_command_while_it_runs_stays_healthy_until_the_command_says_otherwise() {
        let mut plain = wanted();
        plain.values_mut().for_each(|unit| unit.health_command = None);
        let mut rota = Rota::default();
        rota.follow(&plain, &running(UNIX_MS), &Verdicts::new(), 0, UNIX_MS);
        assert_eq!((health(&rota), rota.next_ms()), (Some(Verdict::Healthy), None));
        let known = rota.verdicts();
        rota.follow(&wanted(), &running(UNIX_MS), &known, 60_000, UNIX_MS + 60_000);
        assert_eq!(health(&rota), Some(Verdict::Healthy));
        let turn = rota.begin(61_000).expect("its turn");
        rota.done(&turn, Err("exited with code 1".into()), 61_000);
        assert_eq!(health(&rota), Some(Verdict::Unhealthy));
    }

    #[test]
    fn a_turn_that_came_to_nothing_counts_for_nothing_and_the_next_one_comes() {
        let mut rota = Rota::default();
        rota.follow(&wanted(), &running(UNIX_MS), &Verdicts::new(), 0, UNIX_MS);
        let turn = rota.begin(INTERVAL_MS).expect("its turn");
        rota.put_back(&turn, 2500);
        assert_eq!((rota.next_ms(), health(&rota)), (Some(2500 + INTERVAL_MS), Some(Verdict::Initializing)));
    }

    #[test]
    fn a_unit_whose_image_checks_itself_is_as_the_engine_says_and_stays_so_while_the_engine_begins_anew() {
        let mut plain = wanted();
        plain.values_mut().for_each(|unit| unit.health_command = None);
        let said = |started_ms: u64, verdict: Verdict| {
            let mut units = running(started_ms);
            units.values_mut().for_each(|unit| unit.image_health = Some(Health { verdict, reason: String::new() }));
            units
        };
        let mut rota = Rota::default();
        let mut follow = |units: &BTreeMap<String, Unit>| {
            let known = rota.verdicts();
            let has_changed = rota.follow(&plain, units, &known, 0, UNIX_MS);
            (has_changed, health(&rota), rota.next_ms())
        };
        assert_eq!(follow(&said(UNIX_MS, Verdict::Initializing)), (true, Some(Verdict::Initializing), None));
        assert_eq!(follow(&said(UNIX_MS, Verdict::Healthy)), (true, Some(Verdict::Healthy), None));
        assert_eq!(follow(&said(UNIX_MS, Verdict::Healthy)), (false, Some(Verdict::Healthy), None));
        assert_eq!(follow(&said(UNIX_MS, Verdict::Initializing)).1, Some(Verdict::Healthy), "the engine was restarted");
        assert_eq!(follow(&said(UNIX_MS, Verdict::Unhealthy)).1, Some(Verdict::Unhealthy));
        assert_eq!(follow(&said(UNIX_MS + 1, Verdict::Initializing)).1, Some(Verdict::Initializing), "another start");
    }

    #[test]
    fn a_verdict_is_joined_to_the_start_it_is_about() {
        let health = Health { verdict: Verdict::Unhealthy, reason: "exited with code 1".into() };
        let verdicts = Verdicts::from([(WEB.to_owned(), Known { started_ms: UNIX_MS, health: health.clone() })]);
        let (mut same, mut later) = (running(UNIX_MS), running(UNIX_MS + 1));
        join(&mut same, &verdicts);
        join(&mut later, &verdicts);
        assert_eq!((&same[WEB].health, &later[WEB].health), (&health, &Health::default()));
    }
}
