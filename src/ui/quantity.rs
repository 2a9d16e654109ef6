//! Numbers with their nouns. Every text that counts uses [`count`], so that none says "1 files"; `tests/prose.rs` checks
//! that.

use std::fmt::Display;

/// Returns a number with its noun, which is given in the singular: `no files`, `1 file`, `2 files`.
pub fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    if number == N::from(1) {
        format!("1 {noun}")
    } else if number == N::from(0) {
        format!("no {}", plural(noun))
    } else {
        format!("{number} {}", plural(noun))
    }
}

/// Returns the plural of a regular noun.
fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_agree_with_their_numbers() {
        let counts = |noun| [0_u64, 1, 2].map(|number| count(number, noun));
        assert_eq!(counts("file"), ["no files", "1 file", "2 files"]);
        assert_eq!(counts("boot rule"), ["no boot rules", "1 boot rule", "2 boot rules"]);
        assert_eq!(counts("entry"), ["no entries", "1 entry", "2 entries"]);
        assert_eq!(count(7_usize, "day"), "7 days");
    }
}
