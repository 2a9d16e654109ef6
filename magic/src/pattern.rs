//! The pattern of a rule: magic, mask and offset, and how the kernel compares them with a file.

use crate::{Arch, RuleError};

/// Number of bytes at the start of a file that the kernel reads, padded with NUL bytes if the file is shorter:
/// `BINPRM_BUF_SIZE`, 256 since Linux 5.1 (commit 6eb3c3d0a52d), 128 before.
///
/// Every row of [`Arch::ALL`] ends before byte 40, so the older limit matters to foreign rules only.
pub const WINDOW: usize = 256;

/// The bytes that a file must have: `magic` at `offset`, compared where `mask` has bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    offset: usize,
    magic: Vec<u8>,
    mask: Option<Vec<u8>>,
}

impl Pattern {
    /// Checks what the kernel's `create_entry` checks: there is a magic, the mask is as long as it, and both
    /// lie within the [`WINDOW`].
    pub fn new(offset: usize, magic: impl Into<Vec<u8>>, mask: Option<Vec<u8>>) -> Result<Self, RuleError> {
        let magic = magic.into();
        if magic.is_empty() {
            return Err(RuleError::EmptyMagic);
        }
        if let Some(mask) = &mask
            && mask.len() != magic.len()
        {
            return Err(RuleError::MaskLength { magic: magic.len(), mask: mask.len() });
        }
        if offset.saturating_add(magic.len()) > WINDOW {
            return Err(RuleError::Window { offset, size: magic.len() });
        }
        Ok(Self { offset, magic, mask })
    }

    /// Creates the pattern of a row; a test checks every row with [`new`](Self::new).
    pub(crate) fn of_row(magic: &[u8], mask: &[u8]) -> Self {
        Self { offset: 0, magic: magic.into(), mask: Some(mask.into()) }
    }

    /// Creates the pattern of a row whose bits are all compared.
    pub(crate) fn without_mask(magic: &[u8]) -> Self {
        Self { offset: 0, magic: magic.into(), mask: None }
    }

    /// Returns the offset of the magic in the file.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the magic.
    pub fn magic(&self) -> &[u8] {
        &self.magic
    }

    /// Returns the mask of the bits that are compared; all bits, if there is no mask.
    pub fn mask(&self) -> Option<&[u8]> {
        self.mask.as_deref()
    }

    /// Whether the kernel would match a file that begins with `head`
    ///
    /// `head` is the file's first [`WINDOW`] bytes, or the whole file if it is shorter; what lies behind them
    /// is ignored, and what is missing counts as NUL, as in the kernel's `search_binfmt_handler`.
    pub fn matches(&self, head: &[u8]) -> bool {
        self.difference(head).is_none()
    }

    /// Finds the first byte because of which the kernel does not match a file that begins with `head`; `None` if the
    /// file [matches](Self::matches).
    pub fn difference(&self, head: &[u8]) -> Option<Difference> {
        self.significant_bytes().find_map(|(offset, wanted, mask)| {
            let found = head.get(offset).copied();
            let differs = (found.unwrap_or(0) ^ wanted) & mask != 0;
            differs.then_some(Difference { offset, found, wanted, mask })
        })
    }

    /// Whether some file matches both patterns
    pub fn overlaps(&self, other: &Self) -> bool {
        // Bits are independent, so such a file exists unless the patterns require different values of one bit.
        let window = self.window();
        other.significant_bytes().all(|(at, byte, mask)| {
            let (wanted, counts) = window.get(at).copied().unwrap_or_default();
            (wanted ^ byte) & counts & mask == 0
        })
    }

    /// Whether every file that `other` matches is matched, too
    pub fn includes(&self, other: &Self) -> bool {
        let window = other.window();
        self.significant_bytes().all(|(at, byte, mask)| {
            let (wanted, counts) = window.get(at).copied().unwrap_or_default();
            counts & mask == mask && (wanted ^ byte) & mask == 0
        })
    }

    /// Returns byte and mask of each position in the window.
    fn window(&self) -> [(u8, u8); WINDOW] {
        let mut window = [(0, 0); WINDOW];
        for (at, byte, mask) in self.significant_bytes() {
            if let Some(place) = window.get_mut(at) {
                *place = (byte, mask);
            }
        }
        window
    }

    /// Whether both match the same programs, as real toolchains write them
    ///
    /// Two rules for one guest often differ in bits that no compiler sets (the last mask byte of ppc64le, the OS ABI).
    /// They are the same if they give the same answer for the [headers](Arch::headers) of **every** row, and for files
    /// that differ from those because they are not programs.
    pub fn same_programs(&self, other: &Self) -> bool {
        let alike = |head: &Vec<u8>| self.matches(head) == other.matches(head);
        Arch::ALL.iter().flat_map(Arch::headers).all(|head| alike(&head) && near_misses(&head).iter().all(alike))
    }

    /// Returns the positions that are compared, each with its byte and mask.
    fn significant_bytes(&self) -> impl Iterator<Item = (usize, u8, u8)> {
        let mask = self.mask.iter().flatten().copied().chain(std::iter::repeat(0xff));
        (self.offset..).zip(&self.magic).zip(mask).map(|((at, &byte), mask)| (at, byte, mask))
    }
}

/// The byte because of which a file does not match a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Difference {
    /// The position in the file.
    pub offset: usize,
    /// The value in the file; `None` if the file ends before, which counts as 0.
    pub found: Option<u8>,
    /// The value in the rule.
    pub wanted: u8,
    /// The bits that are compared.
    pub mask: u8,
}

/// Files that differ from a program in one respect, and are not programs of this kind: no ELF, another class or byte
/// order, an object file (`ET_REL`, 1), a core dump (`ET_CORE`, 4).
fn near_misses(head: &[u8]) -> Vec<Vec<u8>> {
    let e_type = if head.get(5) == Some(&2) { 17 } else { 16 };
    let other = |at| head.get(at).map_or(0, |byte| byte ^ 3);
    let changes = [(0, 0), (1, 0), (2, 0), (3, 0), (4, other(4)), (5, other(5)), (e_type, 1), (e_type, 4)];
    let changed = |(at, byte): (usize, u8)| {
        let mut head = head.to_vec();
        head.iter_mut().skip(at).take(1).for_each(|place| *place = byte);
        head
    };
    changes.map(changed).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(offset: usize, magic: &[u8]) -> Pattern {
        Pattern::new(offset, magic, None).unwrap()
    }

    #[test]
    fn limits_are_the_kernels() {
        assert!(Pattern::new(0, vec![1; 256], None).is_ok());
        assert!(Pattern::new(252, vec![1; 4], None).is_ok());
        assert_eq!(Pattern::new(253, vec![1; 4], None), Err(RuleError::Window { offset: 253, size: 4 }));
        assert_eq!(Pattern::new(0, vec![1; 257], None), Err(RuleError::Window { offset: 0, size: 257 }));
        assert_eq!(Pattern::new(usize::MAX, "a", None), Err(RuleError::Window { offset: usize::MAX, size: 1 }));
        assert_eq!(Pattern::new(0, "", None), Err(RuleError::EmptyMagic));
        assert_eq!(Pattern::new(0, "ab", Some(vec![1])), Err(RuleError::MaskLength { magic: 2, mask: 1 }));
    }

    #[test]
    fn the_first_byte_that_differs_is_told() {
        let pattern = Pattern::new(1, *b"abc", Some(vec![0xff, 0, 0xfe])).unwrap();
        assert_eq!(pattern.difference(b"_axb"), None);
        let at = |offset, found, wanted, mask| Some(Difference { offset, found, wanted, mask });
        assert_eq!(pattern.difference(b"_xxx"), at(1, Some(b'x'), b'a', 0xff));
        assert_eq!(pattern.difference(b"_axx"), at(3, Some(b'x'), b'c', 0xfe));
        assert_eq!(pattern.difference(b"_a"), at(3, None, b'c', 0xfe));
    }

    #[test]
    fn a_pattern_includes_those_that_compare_more() {
        for arch in Arch::ALL {
            let row = arch.pattern();
            assert!(row.includes(&row));
            for mut program in arch.headers() {
                program.resize(64, 7);
                let program = exact(0, &program);
                assert!(row.includes(&program) && !program.includes(&row), "{}", arch.target);
            }
            for other in Arch::ALL.iter().filter(|other| !other.pattern().overlaps(&row)) {
                assert!(!row.includes(&other.pattern()), "{} {}", arch.target, other.target);
            }
        }
        let masked = Pattern::new(1, *b"ab", Some(vec![0xff, 0xf0])).unwrap();
        assert!(masked.includes(&exact(1, b"ac")) && masked.includes(&exact(0, b"_abc")));
        assert!(
            !masked.includes(&exact(1, b"a"))
                && !exact(1, b"ab").includes(&masked)
                && !masked.includes(&exact(0, b"ab"))
        );
    }

    #[test]
    fn a_short_file_is_padded_with_nul() {
        assert!(exact(2, b"\0\0").matches(b"ab"));
        assert!(!exact(2, b"\0a").matches(b"ab"));
        assert!(exact(250, b"\0").matches(b""));
    }

    #[test]
    fn masked_bits_do_not_count() {
        let pattern = Pattern::new(1, [0x0f], Some(vec![0x0e])).unwrap();
        assert!(pattern.matches(b"x\x0f") && pattern.matches(b"x\xfe"));
        assert!(!pattern.matches(b"x\x0d"));
    }

    #[test]
    fn overlap_is_decided_bit_by_bit() {
        assert!(exact(0, b"ab").overlaps(&exact(2, b"cd")));
        assert!(exact(0, b"ab").overlaps(&exact(1, b"bc")));
        assert!(!exact(0, b"ab").overlaps(&exact(1, b"c")));
        let even = Pattern::new(0, [0], Some(vec![1])).unwrap();
        let odd = Pattern::new(0, [1], Some(vec![1])).unwrap();
        assert!(!even.overlaps(&odd));
    }

    #[test]
    fn unset_bits_of_toolchains_do_not_tell_patterns_apart() {
        let ours = Arch::by_target("ppc64le").unwrap().pattern();
        let mut mask = ours.mask().unwrap().to_vec();
        mask[19] = 0;
        let qemus = Pattern::new(0, ours.magic(), Some(mask)).unwrap();
        assert!(ours.same_programs(&qemus) && ours != qemus);
        assert!(!ours.same_programs(&Arch::by_target("ppc64").unwrap().pattern()));
    }
}
