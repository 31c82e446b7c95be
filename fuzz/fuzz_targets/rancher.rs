//! Any bytes as a Compose file and a Rancher file beside it (`\n---\n` between them): never a panic, every position in the
//! right file, and what is accepted prints as a file that means the same.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use remuda_compose::{SourceFile, Sources, load, print};

/// What stands between the two files.
const BETWEEN: &str = "\n---\n";

fuzz_target!(|bytes: &[u8]| {
    let Ok(both) = SourceFile::from_bytes("both", bytes.to_vec()) else {
        return;
    };
    let (compose, rancher) = both.text.split_once(BETWEEN).unwrap_or((&both.text, ""));
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let (files, rancher) = ([file("docker-compose.yml", compose)], file("rancher-compose.yml", rancher));
    let env = BTreeMap::from([("A".to_owned(), "value".to_owned()), ("E".to_owned(), String::new())]);
    match load(&Sources { rancher: Some(&rancher), ..Sources::new(&files, &env, "fuzz") }) {
        Ok(loaded) => {
            let printed = print(&loaded.spec).to_string();
            let files = [file("printed.json", &printed)];
            match load(&Sources::new(&files, &BTreeMap::new(), "fuzz")) {
                Ok(again) => assert_eq!(print(&again.spec).to_string(), printed),
                Err(problems) => assert!(is_too_much(&problems), "{printed}: {problems:#?}"),
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            for problem in &problems {
                let of = [&files[0], &rancher].into_iter().find(|file| *file.path == *problem.at.file);
                let text = &of.expect("one of the two").text;
                let end = problem.at.offset_bytes + problem.at.len_bytes;
                assert!(text.get(problem.at.offset_bytes..end).is_some(), "{problem:?} points outside");
                assert!(!problem.to_string().contains(|c: char| c.is_control()), "{problem} holds control characters");
            }
        }
    }
});

/// Written out it breaks a limit that it kept with aliases and ranges.
fn is_too_much(problems: &[remuda_compose::Problem]) -> bool {
    problems.iter().any(|problem| ["larger than", "exceeds", "more than", "nested deeper"].iter().any(|part| problem.message.contains(part)))
}
