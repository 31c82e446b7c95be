//! Library functions of the packet pipeline say how they are inlined: what LLVM decides alone, the verifier may refuse.

use super::Finding;
use super::source::Source;

pub fn check(source: &Source) -> Vec<Finding> {
    let is_library = source.path.starts_with("ebpf/src/") && !is_exempt(&source.path);
    if !is_library {
        return Vec::new();
    }
    let lines: Vec<&str> = source.code.lines().collect();
    let functions = source.functions().into_iter().filter(|function| function.line < source.tests_from);
    let bare = functions.filter(|function| !has_inline(&lines, function.line));
    bare.map(|function| Finding {
        file: source.path.clone(),
        line: function.line,
        rule: "ebpf functions are inlined by decision",
        what_to_do: format!(
            "put #[inline(always)] on `{}`, or #[inline(never)] on a seam that takes &mut hook and returns a scalar",
            function.name
        ),
    })
    .collect()
}

/// Entry points are called by the kernel; tests and the host's tables never meet the verifier.
fn is_exempt(path: &str) -> bool {
    let name = path.trim_start_matches("ebpf/src/");
    name == "main.rs" || name.starts_with("tests") || name.starts_with("host") || name.starts_with("bin/")
}

/// Whether the attributes right above `line` (from 1), or on it, say how to inline.
fn has_inline(lines: &[&str], line: usize) -> bool {
    let above =
        lines[..line - 1].iter().rev().take_while(|text| text.trim().is_empty() || text.trim().starts_with("#["));
    above.chain([&lines[line - 1]]).any(|text| text.contains("inline"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_library_function_is_found_and_an_inlined_one_is_not() {
        let text = "#[inline(always)]\n/// Doc.\npub fn good() {}\n\npub fn bare() {}\n";
        let findings = check(&Source::new("ebpf/src/route.rs".into(), text));
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn entry_points_and_other_crates_are_left_alone() {
        assert!(check(&Source::new("ebpf/src/main.rs".into(), "fn xdp() {}\n")).is_empty());
        assert!(check(&Source::new("ring/src/lib.rs".into(), "fn step() {}\n")).is_empty());
    }
}
