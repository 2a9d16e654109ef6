//! A line for the kernel's `register` file. Boot files and receipts contain such lines.
#![no_main]

use binfmt_magic::{LINE_MAX, LINE_MIN, NAME_MAX, Rule, RuleError, WINDOW};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let Ok(rule) = Rule::parse(line) else { return };
    assert!((LINE_MIN..=LINE_MAX).contains(&line.len()));
    assert!((1..=NAME_MAX).contains(&rule.name.as_bytes().len()));
    if let Some(pattern) = rule.pattern() {
        assert!(pattern.offset() + pattern.magic().len() <= WINDOW);
        assert!(pattern.overlaps(pattern) && pattern.same_programs(pattern));
    }
    let _ = rule.matches(line);
    match rule.to_line() {
        Ok(printed) => assert_eq!(Rule::parse(&printed), Ok(rule)),
        Err(error) => assert!(matches!(error, RuleError::LineLength(_) | RuleError::NoDelimiter), "{error}"),
    }
});
