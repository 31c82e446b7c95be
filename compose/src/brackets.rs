//! Brackets that hold too much, found before the scanner sees them: [`first_overfull`].
//!
//! A bracketed list or map could still turn out to be a key, so the scanner reads to its end before it hands over its
//! beginning, and holds some 100 bytes per token meanwhile; no budget of ours could stop it.

use crate::limits::BRACKET_MARKS_MAX;

/// Byte offset at which the outermost bracket open there exceeds [`BRACKET_MARKS_MAX`].
///
/// Brackets inside quotes and comments are counted too: the bound is so far from real files that it does not matter.
pub(crate) fn first_overfull(text: &str) -> Option<usize> {
    let (mut depth, mut marks) = (0u32, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' | b'?' => {}
            _ => continue,
        }
        marks = if depth > 0 { marks + 1 } else { 0 };
        if marks > BRACKET_MARKS_MAX {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_one_outermost_bracket_holds_is_counted() {
        let half = format!("[{}]", "a,".repeat(BRACKET_MARKS_MAX / 2));
        assert_eq!(first_overfull(&format!("- {half}\n- {half}\n- {half}\n")), None);
        assert_eq!(first_overfull(&"a: b\n".repeat(BRACKET_MARKS_MAX + 1)), None);
        assert!(first_overfull(&format!("[{half},{half}]")).is_some());
    }
}
