//! `depends_on`: what a service waits for, and circles of waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use remuda_api::spec::{DependsOn, ServiceSpec, StackSpec};

use crate::context::{Context, Dependency};
use crate::field::Field;
use crate::keys;
use crate::limits::PROBLEMS_MAX;
use crate::problem::{plain_shown, shown};
use crate::report::Report;
use crate::value::Value;

/// Most names of a circle that a message spells out.
const CIRCLE_NAMES_MAX: usize = 10;

const CONDITIONS: &[(&str, DependsOn)] = &[
    ("service_started", DependsOn::ServiceStarted),
    ("service_healthy", DependsOn::ServiceHealthy),
    ("service_completed_successfully", DependsOn::ServiceCompletedSuccessfully),
];

/// Reads a list of names, or a map from names to conditions.
pub(crate) fn read(field: &Field, from: &str, service: &mut ServiceSpec, context: &mut Context) {
    if let Value::Map(_) = field.node.value {
        for entry in field.members() {
            let (condition, is_required) = read_condition(&entry, &mut context.report);
            add(&entry, entry.key(), condition, (from, is_required), service, context);
        }
        return;
    }
    for item in field.items("a list of service names, or a map from them to conditions", &mut context.report) {
        if let Some(name) = item.line("the name of a service", &mut context.report) {
            add(&item, name, DependsOn::default(), (from, true), service, context);
        }
    }
}

fn read_condition(entry: &Field, report: &mut Report) -> (DependsOn, bool) {
    let (mut condition, mut is_required) = (DependsOn::default(), true);
    for key in keys::acted(entry, &keys::DEPENDENCY, report) {
        match key.key() {
            "condition" => condition = key.choice(CONDITIONS, report).unwrap_or_default(),
            _ => is_required = key.boolean(report).unwrap_or(true),
        }
    }
    (condition, is_required)
}

fn add(
    field: &Field,
    to: &str,
    condition: DependsOn,
    (from, is_required): (&str, bool),
    service: &mut ServiceSpec,
    context: &mut Context,
) {
    let place = field.key_place();
    let dependency = Dependency { from: from.to_owned(), to: to.to_owned(), is_required, place };
    context.references.depends_on.push(dependency);
    if service.depends_on.insert(to.to_owned(), condition).is_some() {
        field.problem(format!("service {} is listed twice: keep one", shown(to)), &mut context.report);
    }
}

/// Says that `dependency` leads nowhere.
pub(crate) fn report_unknown(
    dependency: &Dependency,
    spec: &StackSpec,
    left_out: &BTreeSet<String>,
    report: &mut Report,
) {
    let name = shown(&dependency.to);
    if !dependency.is_required {
        let message = format!("service {name} is not in this file and not required: not waited for");
        return report.notice(dependency.place.clone(), message);
    }
    if left_out.contains(&dependency.to) {
        let message =
            format!("service {name} is left out, as none of its `profiles` is active: name one in COMPOSE_PROFILES");
        return report.problem(dependency.place.clone(), message);
    }
    let advice = match keys::nearest(&dependency.to, spec.services.keys().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", shown(near)),
        None => "add it, or remove it here".to_owned(),
    };
    report.problem(dependency.place.clone(), format!("unknown service {name}: {advice}"));
}

/// The dependencies that close a circle, each with the circle in words (`a -> b -> a`).
pub(crate) fn circles<'d>(edges: &BTreeMap<&'d str, Vec<&'d Dependency>>) -> Vec<(&'d Dependency, String)> {
    let mut found = Vec::new();
    let mut state: HashMap<&'d str, Visit> = HashMap::new();
    for start in edges.keys() {
        // The way from `start` to here: each service with the number of its edges already followed.
        let mut way: Vec<(&'d str, usize)> = Vec::new();
        if !state.contains_key(start) {
            way.push((start, 0));
        }
        while let Some((service, next_edge)) = way.last_mut() {
            let service = *service;
            state.insert(service, Visit::OnTheWay);
            let Some(dependency) = edges.get(service).and_then(|edges| edges.get(*next_edge)) else {
                state.insert(service, Visit::Done);
                way.pop();
                continue;
            };
            *next_edge += 1;
            match state.get(dependency.to.as_str()) {
                Some(Visit::Done) => {}
                Some(Visit::OnTheWay) if found.len() < PROBLEMS_MAX => {
                    found.push((*dependency, in_words(&way, &dependency.to)))
                }
                Some(Visit::OnTheWay) => return found,
                None => way.push((&dependency.to, 0)),
            }
        }
    }
    found
}

#[derive(Clone, Copy)]
enum Visit {
    OnTheWay,
    Done,
}

fn in_words(way: &[(&str, usize)], closing: &str) -> String {
    let begin = way.iter().rposition(|(service, _)| *service == closing).unwrap_or(0);
    let circle = &way[begin..];
    let mut names: Vec<_> = circle.iter().take(CIRCLE_NAMES_MAX).map(|(service, _)| plain_shown(service)).collect();
    if circle.len() > CIRCLE_NAMES_MAX {
        names.push(format!("({} more)", circle.len() - CIRCLE_NAMES_MAX));
    }
    names.push(plain_shown(closing));
    names.join(" -> ")
}
