//! What a typed name means: a container, a service, or the beginning of exactly one of them.

use remuda_api::resource::{Container, Service};

use crate::client::Client;
use crate::failure::Failure;

/// Most names listed in an error.
const SHOWN_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Container(String),
    Service { stack: String, service: String },
}

/// What exists, as far as names go.
#[derive(Default)]
pub struct Known {
    pub containers: Vec<Container>,
    pub services: Vec<Service>,
}

impl Known {
    pub async fn ask(client: &Client) -> Result<Self, Failure> {
        let (containers, services) = tokio::try_join!(client.get(&["containers"]), client.get(&["services"]))?;
        Ok(Self { containers, services })
    }

    /// A container's or service's name, or the unambiguous beginning of one.
    pub fn target(&self, name: &str) -> Result<Target, Failure> {
        let (exact, begun) = self.matches(name);
        match (exact.as_slice(), begun.as_slice()) {
            // Two stacks can write a service alike in Swarm's spelling: `a_b` + `c`, `a` + `b_c`.
            ([Target::Service { .. }, Target::Service { .. }, ..], _) => {
                Err(ambiguous(name, exact.iter().map(Target::name).collect()))
            }
            ([target, ..], _) | ([], [target]) => Ok(target.clone()),
            ([], []) => Err(self.unknown(name)),
            ([], many) => Err(ambiguous(name, many.iter().map(Target::name).collect())),
        }
    }

    /// One container: the named one, or the first running one of the named service.
    pub fn container(&self, name: &str) -> Result<String, Failure> {
        match self.target(name)? {
            Target::Container(name) => Ok(name),
            Target::Service { stack, service } => self.first_running(&stack, &service),
        }
    }

    /// Exact names first, then beginnings; of equal names a service wins over a container. A service is known by both
    /// of its spellings.
    fn matches(&self, name: &str) -> (Vec<Target>, Vec<Target>) {
        let services =
            self.services.iter().map(|s| Target::Service { stack: s.stack.clone(), service: s.name.clone() });
        let containers = self.containers.iter().map(|c| Target::Container(c.name.clone()));
        let all: Vec<Target> = services.chain(containers).collect();
        let lower = name.to_ascii_lowercase();
        let spelled = |target: &&Target, fits: fn(&str, &str) -> bool| {
            target.spellings().iter().any(|spelling| fits(&spelling.to_ascii_lowercase(), &lower))
        };
        let exact = all.iter().filter(|target| spelled(target, |name, typed| name == typed)).cloned().collect();
        let begun =
            all.iter().filter(|target| spelled(target, |name, typed| name.starts_with(typed))).cloned().collect();
        (exact, begun)
    }

    fn first_running(&self, stack: &str, service: &str) -> Result<String, Failure> {
        let mut own: Vec<&Container> =
            self.containers.iter().filter(|c| c.stack == stack && c.service == service).collect();
        own.sort_by_key(|container| (container.pid.is_none(), container.name.len(), container.name.clone()));
        match own.first() {
            Some(container) => Ok(container.name.clone()),
            None => {
                let failure = Failure::new(format!("service {stack}/{service} has no container"));
                Err(failure.advice(self.instead_of_container(stack, service)))
            }
        }
    }

    /// What to do about a service that has no container: some never have any.
    fn instead_of_container(&self, stack: &str, service: &str) -> String {
        let known = self.services.iter().find(|s| s.stack == stack && s.name == service);
        match known.map(|service| service.kind.as_str()) {
            Some("balancer") => "it is a balancer: its ports lead to containers of other services".into(),
            Some("external") => "it is external: its name leads outside of the fleet".into(),
            _ => format!("`remuda scale {stack}/{service}=1` starts one"),
        }
    }

    fn unknown(&self, name: &str) -> Failure {
        let names: Vec<String> = self.services.iter().map(|s| format!("{}/{}", s.stack, s.name)).collect();
        let containers = self.containers.iter().map(|c| c.name.clone());
        unknown("container or service", name, names.into_iter().chain(containers).collect(), "remuda ps")
    }
}

impl Target {
    /// As people type it: `shop-web-1`, `shop/web`.
    pub fn name(&self) -> String {
        match self {
            Self::Container(name) => name.clone(),
            Self::Service { stack, service } => format!("{stack}/{service}"),
        }
    }

    /// Every way to write it: a service also as Swarm names it, `shop_web`.
    fn spellings(&self) -> Vec<String> {
        let swarm = match self {
            Self::Container(_) => None,
            Self::Service { stack, service } => Some(format!("{stack}_{service}")),
        };
        std::iter::once(self.name()).chain(swarm).collect()
    }
}

/// A service as it was typed: `shop/web` says which stack, `shop_web` has to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceName {
    Ours { stack: String, service: String },
    Swarm(String),
}

impl ServiceName {
    /// Errors say the form.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match service_of(text) {
            Ok((stack, service)) => Ok(Self::Ours { stack: stack.to_owned(), service: service.to_owned() }),
            Err(_) if !text.contains('/') && inner_underscore(text) => Ok(Self::Swarm(text.to_owned())),
            Err(failure) => Err(failure),
        }
    }

    /// Stack and service; `services` are those that exist.
    pub fn resolve(&self, services: &[Service]) -> Result<(String, String), Failure> {
        let typed = match self {
            Self::Ours { stack, service } => return Ok((stack.clone(), service.clone())),
            Self::Swarm(typed) => typed,
        };
        match swarm_spelled(services, typed)? {
            Some(found) => Ok((found.stack.clone(), found.name.clone())),
            None => Err(unknown("service", typed, swarm_names(services), "remuda services")),
        }
    }
}

/// What a word for a stack or a service of it means: `shop`, `shop/web` or `shop_web`. A stack of that very name wins;
/// then a service in Swarm's spelling; then the only stack that begins so. The service of `shop/web` is not looked up.
pub fn scope_of(stacks: &[String], services: &[Service], typed: &str) -> Result<(String, Option<String>), Failure> {
    let stack_named = |typed: &str| one_of("stack", typed, stacks, "remuda stacks").cloned();
    if let Some((stack, service)) = typed.split_once('/') {
        return Ok((stack_named(stack)?, Some(service.to_owned())));
    }
    let is_stack = stacks.iter().any(|stack| stack.eq_ignore_ascii_case(typed));
    match swarm_spelled(services, typed)? {
        Some(service) if !is_stack => Ok((service.stack.clone(), Some(service.name.clone()))),
        _ => Ok((stack_named(typed)?, None)),
    }
}

/// The service whose `STACK_SERVICE` this is, if there is one; errors when there are two.
pub fn swarm_spelled<'a>(services: &'a [Service], typed: &str) -> Result<Option<&'a Service>, Failure> {
    let is_typed = |s: &&Service| format!("{}_{}", s.stack, s.name).eq_ignore_ascii_case(typed);
    match services.iter().filter(is_typed).collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        many => Err(ambiguous(typed, many.iter().map(|s| format!("{}/{}", s.stack, s.name)).collect())),
    }
}

fn swarm_names(services: &[Service]) -> Vec<String> {
    services.iter().map(|s| format!("{}_{}", s.stack, s.name)).collect()
}

/// An underscore with something on both sides.
fn inner_underscore(text: &str) -> bool {
    text.trim_matches('_').contains('_')
}

/// `shop/web` -> (`shop`, `web`).
pub fn service_of(text: &str) -> Result<(&str, &str), Failure> {
    match text.split_once('/') {
        Some((stack, service)) if !stack.is_empty() && !service.is_empty() && !service.contains('/') => {
            Ok((stack, service))
        }
        _ => Err(Failure::usage(format!("`{text}` is no service"))
            .advice("write STACK/SERVICE (or STACK_SERVICE), as in shop/web")),
    }
}

/// The one of `names` that `typed` means: itself, or the only one that begins so.
pub fn one_of<'a>(kind: &str, typed: &str, names: &'a [String], list: &str) -> Result<&'a String, Failure> {
    if let Some(exact) = names.iter().find(|name| name.eq_ignore_ascii_case(typed)) {
        return Ok(exact);
    }
    let lower = typed.to_ascii_lowercase();
    let begun: Vec<&String> = names.iter().filter(|name| name.to_ascii_lowercase().starts_with(&lower)).collect();
    match begun.as_slice() {
        [only] => Ok(only),
        [] => Err(unknown(kind, typed, names.to_vec(), list)),
        many => Err(ambiguous(typed, many.iter().map(|name| (*name).clone()).collect())),
    }
}

/// Says what exists that is like `typed`, or what exists at all. `list` is the command that shows them.
pub fn unknown(kind: &str, typed: &str, names: Vec<String>, list: &str) -> Failure {
    Failure::new(format!("there is no {kind} `{typed}`")).advice(instead(typed, &names, list))
}

/// What could be typed instead.
pub fn instead(typed: &str, names: &[String], list: &str) -> String {
    let like = similar(typed, names);
    match (like.is_empty(), names.is_empty()) {
        (_, true) => format!("there is none at all yet (`{list}` lists them)"),
        (false, _) => format!("did you mean {}?", shown(&like)),
        (true, _) => format!("there are {} (`{list}` lists them)", shown(names)),
    }
}

fn ambiguous(typed: &str, names: Vec<String>) -> Failure {
    Failure::new(format!("`{typed}` could be {}", shown(&names))).advice("type more of the name")
}

fn shown(names: &[String]) -> String {
    let mut text = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN_MAX {
        text.push_str(&format!(" and {} more", names.len() - SHOWN_MAX));
    }
    text
}

/// Names that hold what was typed, or are it but for a few slips, nearest first.
fn similar(typed: &str, names: &[String]) -> Vec<String> {
    let typed = typed.to_ascii_lowercase();
    let slips_max = (typed.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &String)> = names
        .iter()
        .filter_map(|name| {
            let lower = name.to_ascii_lowercase();
            let last = lower.rsplit('/').next().unwrap_or(&lower);
            let slips = slips(&typed, &lower).min(slips(&typed, last));
            let holds = !typed.is_empty() && lower.contains(&typed);
            (holds || slips <= slips_max).then_some((if holds { 0 } else { slips }, name))
        })
        .collect();
    near.sort();
    near.into_iter().map(|(_, name)| name.clone()).collect()
}

/// Levenshtein distance: how many letters to add, drop or change.
fn slips(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use remuda_api::resource::{ContainerState, Health, ServiceState};

    fn service(stack: &str, name: &str) -> Service {
        Service {
            name: name.into(),
            stack: stack.into(),
            kind: "replicated".into(),
            vip: None,
            ports: Vec::new(),
            desired: 2,
            running: 2,
            healthy: 2,
            state: ServiceState::Active,
            image: None,
            generation: 1,
            health: Health::Healthy,
            reason: None,
        }
    }

    fn known() -> Known {
        let service = |name: &str| service("shop", name);
        let container = |service: &str, n: u32, pid| Container {
            name: format!("shop-{service}-{n}"),
            stack: "shop".into(),
            service: service.into(),
            host: None,
            ip: None,
            state: ContainerState::Running,
            health: Health::Healthy,
            reason: None,
            pid,
            restarts: 0,
            created: String::new(),
        };
        Known {
            services: vec![service("web"), service("worker"), service("api")],
            containers: vec![container("web", 1, None), container("web", 2, Some(7)), container("api", 1, Some(8))],
        }
    }

    #[test]
    fn exact_names_win_over_beginnings() {
        assert_eq!(known().target("shop-web-1").unwrap(), Target::Container("shop-web-1".into()));
        assert_eq!(known().target("shop/web").unwrap().name(), "shop/web");
    }

    #[test]
    fn a_beginning_is_enough_when_only_one_thing_begins_so() {
        assert_eq!(known().target("shop-a").unwrap().name(), "shop-api-1");
        assert_eq!(known().target("shop/wo").unwrap().name(), "shop/worker");
        assert!(format!("{:?}", known().target("shop-w")).contains("type more"));
    }

    #[test]
    fn a_service_may_be_written_as_swarm_does_and_two_that_are_written_alike_are_told_apart() {
        assert_eq!(known().target("shop_web").unwrap().name(), "shop/web");
        assert_eq!(known().target("Shop_Wo").unwrap().name(), "shop/worker");
        let twins = Known { services: vec![service("a_b", "c"), service("a", "b_c")], ..Known::default() };
        assert!(format!("{:?}", twins.target("a_b_c")).contains("could be `a_b/c`, `a/b_c`"));
        assert_eq!(twins.target("a/b_c").unwrap().name(), "a/b_c");
        let name = ServiceName::parse("shop_web").unwrap();
        assert_eq!(name.resolve(&known().services).unwrap(), ("shop".to_owned(), "web".to_owned()));
        assert!(ServiceName::parse("_web").is_err() && ServiceName::parse("web").is_err());
    }

    #[test]
    fn a_stack_of_that_very_name_wins_over_a_service_in_swarms_spelling() {
        let (stacks, services) = (["shop", "shop_web"].map(String::from), known().services);
        let scope = |typed| scope_of(&stacks, &services, typed).unwrap();
        assert_eq!(scope("shop_web"), ("shop_web".to_owned(), None));
        assert_eq!(scope("shop_api"), ("shop".to_owned(), Some("api".to_owned())));
        assert_eq!(scope("shop/api"), ("shop".to_owned(), Some("api".to_owned())));
        assert_eq!(scope("shop_"), ("shop_web".to_owned(), None));
        assert!(scope_of(&stacks, &services, "shop_wep").is_err());
    }

    #[test]
    fn a_service_stands_for_its_first_running_container() {
        assert_eq!(known().container("shop/web").unwrap(), "shop-web-2");
        assert!(known().container("shop/worker").is_err());
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_is_like_it() {
        let names: Vec<String> = ["shop/web", "shop/api", "blog/db"].map(String::from).to_vec();
        assert_eq!(similar("wbe", &names), Vec::<String>::new());
        assert_eq!(similar("webb", &names), ["shop/web"]);
        assert_eq!(similar("api", &names), ["shop/api"]);
        assert_eq!(similar("shop/wab", &names), ["shop/web"]);
        let text = format!("{:?}", unknown("service", "zzz", names, "remuda services"));
        assert!(text.contains("there are `shop/web`, `shop/api`, `blog/db`"), "{text}");
    }

    #[test]
    fn a_service_is_written_with_one_slash() {
        assert_eq!(service_of("shop/web").unwrap(), ("shop", "web"));
        for text in ["shop", "/web", "shop/", "a/b/c"] {
            assert!(service_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn slips_are_counted() {
        assert_eq!(
            (slips("web", "web"), slips("web", "wab"), slips("", "abc"), slips("kitten", "sitting")),
            (0, 1, 3, 3)
        );
    }
}
