//! Any bytes as a Compose file: never a panic, every position points into its file, and what loads holds together.
//!
//! A line `#RANCHER` begins a rancher-compose.yml; files that the file names hold its own text. Seeds:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run compose FOLDER ../compose/tests/corpus -- -max_total_time=60`
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use remuda_compose::{Loaded, NamedFiles, Position, Problem, SourceFile, Sources, load, named_files};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = SourceFile::from_bytes("fuzz.yml", bytes.to_vec()) else {
        return;
    };
    let (text, rancher) = match file.text.split_once("\n#RANCHER\n") {
        Some((text, rancher)) => (text.to_owned(), Some(rancher.to_owned())),
        None => (file.text.clone(), None),
    };
    let files = [SourceFile { text, ..file.clone() }];
    let rancher = rancher.map(|text| SourceFile { path: "rancher.yml".to_owned(), text });
    let env = [("A", "value"), ("E", ""), ("HOME", "/home/me"), ("TAG", "1")];
    let env = BTreeMap::from(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let sources = Sources { rancher: rancher.as_ref(), directory: "/srv", ..Sources::new(&files, &env, "fuzz") };
    let named: NamedFiles = named_files(&sources).into_iter().map(|path| (path, Ok(file.text.clone()))).collect();
    match load(&Sources { named: &named, ..sources }) {
        Ok(loaded) => check_loaded(&loaded, &sources),
        Err(problems) => check_problems(&problems, &sources),
    }
});

fn check_problems(problems: &[Problem], sources: &Sources) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems {
        check_position(&problem.at, sources);
        assert!(!problem.to_string().contains(|c: char| c.is_control()), "{problem} holds control characters");
    }
}

fn check_loaded(loaded: &Loaded, sources: &Sources) {
    for notice in &loaded.notices {
        check_position(&notice.at, sources);
        assert!(!notice.to_string().contains(|c: char| c.is_control()), "{notice} holds control characters");
    }
    for (name, service) in &loaded.spec.services {
        let mut targets = BTreeSet::new();
        for mount in &service.engine.mounts {
            assert!(mount.target.starts_with('/') && targets.insert(&mount.target), "{name}: {mount:?}");
            let is_volume = mount.kind == "volume" && !mount.source.is_empty();
            assert!(!is_volume || loaded.spec.volumes.contains_key(&mount.source), "{name}: {mount:?} of no volume");
        }
    }
}

fn check_position(at: &Position, sources: &Sources) {
    let file = sources.files.iter().chain(sources.rancher).find(|file| *file.path == *at.file);
    let text = file.map_or("", |file| file.text.as_str());
    assert!(text.get(at.offset_bytes..at.offset_bytes + at.len_bytes).is_some(), "{at:?} points outside");
}
