//! Any bytes as a Compose file: never a panic, and every position points into the file, in order.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use remuda_compose::{SourceFile, Sources, load};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = SourceFile::from_bytes("fuzz.yml", bytes.to_vec()) else {
        return;
    };
    let env = BTreeMap::from([("A".to_owned(), "value".to_owned()), ("E".to_owned(), String::new())]);
    let files = [file];
    let text = &files[0].text;
    match load(&Sources::new(&files, &env, "fuzz")) {
        Ok(loaded) => assert!(!loaded.spec.services.is_empty(), "a stack without services was accepted"),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            for problem in &problems {
                let end = problem.at.offset_bytes + problem.at.len_bytes;
                assert!(text.get(problem.at.offset_bytes..end).is_some(), "{problem:?} points outside");
                assert!(!problem.to_string().contains(|c: char| c.is_control()), "{problem} holds control characters");
            }
        }
    }
});
