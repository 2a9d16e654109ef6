//! Properties that hold for all rules, entries and bytes.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]

mod strategies;

use binfmt_magic::{Arch, Entry, EntryName, Flags, Rule, RuleError, WINDOW};
use proptest::collection::vec;
use proptest::prelude::*;
use strategies::{damaged_lines, near_lines, patterns, rules, small_patterns};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn what_is_printed_is_read_back(rule in rules()) {
        match rule.to_line() {
            Ok(line) => prop_assert_eq!(Rule::parse(&line), Ok(rule)),
            Err(error) => prop_assert!(matches!(error, RuleError::LineLength(1921..)), "{error}"),
        }
    }

    #[test]
    fn a_newline_may_follow(rule in rules()) {
        let mut line = rule.to_line().unwrap_or_default();
        prop_assume!((11..1920).contains(&line.len()));
        line.push(b'\n');
        prop_assert_eq!(Rule::parse(&line), Ok(rule));
        line.push(b'\n');
        prop_assert!(Rule::parse(&line).is_err());
    }

    #[test]
    fn an_entry_that_is_printed_is_read_back(rule in rules(), enabled: bool) {
        // The kernel does not store D.
        let entry = Entry { enabled, rule: Rule { flags: rule.flags.normalised(), ..rule } };
        prop_assert_eq!(Entry::parse(&entry.rule.name, &entry.to_text()), Ok(entry));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..2000)) {
        let _ = Rule::parse(&bytes);
        let _ = Entry::parse(b"name", &bytes);
        let _ = Flags::parse(&bytes);
        let _ = EntryName::new(bytes.clone());
        let _ = Arch::find(&String::from_utf8_lossy(&bytes));
        prop_assert!(Arch::ALL.iter().filter(|arch| arch.pattern().matches(&bytes)).count() < 2);
    }

    /// Bytes that resemble a line, so that more than the first check is reached.
    #[test]
    fn a_line_that_is_read_can_be_printed_and_means_the_same(line in prop_oneof![near_lines(), damaged_lines()]) {
        if let Ok(rule) = Rule::parse(&line)
            && let Ok(printed) = rule.to_line()
        {
            prop_assert_eq!(Rule::parse(&printed), Ok(rule));
        }
    }

    /// Likewise for the text of entries.
    #[test]
    fn near_entries_do_not_panic(text in near_entries()) {
        if let Ok(entry) = Entry::parse("name", &text) {
            prop_assert_eq!(Entry::parse("name", &entry.to_text()), Ok(entry));
        }
    }

    #[test]
    fn the_mask_says_which_bits_count(pattern in patterns(), noise in vec(any::<u8>(), WINDOW)) {
        // A file that has the wanted bits and noise elsewhere is matched; with any one of them turned it is not.
        let mut file = noise;
        let all = vec![0xff; pattern.magic().len()];
        let mask = pattern.mask().unwrap_or(&all);
        for (i, (byte, mask)) in pattern.magic().iter().zip(mask).enumerate() {
            let at = pattern.offset() + i;
            file[at] = (file[at] & !mask) | (byte & mask);
        }
        prop_assert!(pattern.matches(&file));
        for at in 0..WINDOW {
            for bit in 0..8 {
                file[at] ^= 1 << bit;
                let counts = at.checked_sub(pattern.offset()).and_then(|i| mask.get(i)).is_some_and(|m| m >> bit & 1 == 1);
                prop_assert_eq!(pattern.matches(&file), !counts);
                file[at] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn only_the_window_is_looked_at(pattern in patterns(), file in vec(0..3_u8, 0..WINDOW), more in vec(any::<u8>(), 0..9)) {
        let mut padded = file.clone();
        padded.resize(WINDOW, 0);
        prop_assert_eq!(pattern.matches(&file), pattern.matches(&padded));
        let longer = [padded.as_slice(), &more].concat();
        prop_assert_eq!(pattern.matches(&padded), pattern.matches(&longer));
    }

    #[test]
    fn overlap_is_symmetric_and_follows_from_a_common_match(
        one in small_patterns(), other in small_patterns(), file in vec(0..2_u8, 0..8),
    ) {
        prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
        prop_assert!(one.overlaps(&one));
        if one.matches(&file) && other.matches(&file) {
            prop_assert!(one.overlaps(&other));
        }
    }

    #[test]
    fn patterns_that_overlap_have_a_file_in_common(one in small_patterns(), other in small_patterns()) {
        let mut file = vec![0; WINDOW];
        for pattern in [&one, &other] {
            let all = vec![0xff; pattern.magic().len()];
            for (i, (byte, mask)) in pattern.magic().iter().zip(pattern.mask().unwrap_or(&all)).enumerate() {
                let at = pattern.offset() + i;
                file[at] = (file[at] & !mask) | (byte & mask);
            }
        }
        prop_assert_eq!(one.overlaps(&other), one.matches(&file) && other.matches(&file));
    }

    #[test]
    fn flags_are_read_as_they_are_printed(letters in "[POCFTLD]{0,9}") {
        if let Ok(flags) = letters.parse::<Flags>() {
            prop_assert_eq!(flags.to_string().parse(), Ok(flags));
            prop_assert_eq!(Flags { disabled: false, ..flags }, flags.normalised());
        }
    }
}

fn near_entries() -> impl Strategy<Value = Vec<u8>> {
    let lines = [
        "enabled\n",
        "disabled\n",
        "interpreter /bin/x\n",
        "interpreter ",
        "flags: PF\n",
        "flags: \n",
        "offset 0\n",
        "offset 250\n",
        "magic 7f45\n",
        "magic 7f4\n",
        "mask ffff\n",
        "mask ff\n",
        "extension .exe\n",
        "\n",
    ];
    let start =
        prop::sample::select(vec!["", "enabled\ninterpreter /x\n", "enabled\ninterpreter /x\nflags: F\noffset 0\n"]);
    (start, vec(prop::sample::select(lines.to_vec()), 0..7))
        .prop_map(|(start, lines)| [start, &lines.concat()].concat().into_bytes())
}
