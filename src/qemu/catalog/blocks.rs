//! Plan of the blocks to download for a set of guests. Pure arithmetic.

use super::{Block, CatalogError, Member, Package};

/// Blocks that contain some members of one package.
#[derive(Debug, Clone)]
pub struct BlockPlan<'a> {
    package: &'a Package,
    members: Vec<&'a Member>,
    blocks: Vec<&'a Block>,
}

/// Adjacent blocks of the `.deb`, which one request fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte in the `.deb`.
    pub first: u64,
    /// Offset of the last byte, inclusive as in HTTP (RFC 9110 §14.1.2).
    pub last: u64,
    /// Number of blocks.
    pub blocks: usize,
}

/// Part of a member within one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberSlice<'a> {
    /// Member that the part belongs to.
    pub member: &'a Member,
    /// Offset in the block's content.
    pub at: u64,
    /// Length in bytes.
    pub length: u64,
    /// Whether the part is the beginning of the member.
    pub begins: bool,
    /// Whether the part is the end of the member.
    pub ends: bool,
}

impl<'a> BlockPlan<'a> {
    pub(super) fn new(package: &'a Package, targets: &[&str]) -> Result<Self, CatalogError> {
        for &target in targets {
            if package.find_member(target).is_none() {
                return Err(CatalogError::NoSuchMember {
                    target: target.to_owned(),
                    package: package.file_name().to_owned(),
                });
            }
        }
        let members: Vec<&Member> =
            package.members.iter().filter(|member| targets.contains(&member.target.as_str())).collect();
        let blocks = package
            .blocks
            .iter()
            .filter(|block| members.iter().any(|member| slice_in_block(block, member).is_some()))
            .collect();
        Ok(Self { package, members, blocks })
    }

    /// Returns the package of the blocks.
    pub fn package(&self) -> &'a Package {
        self.package
    }

    /// Returns the members for the requested guests, in the order of the blocks.
    pub fn members(&self) -> &[&'a Member] {
        &self.members
    }

    /// Returns the required blocks, in order, each once.
    pub fn blocks(&self) -> &[&'a Block] {
        &self.blocks
    }

    /// Returns the number of bytes to download.
    pub fn total_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.length).sum()
    }

    /// Returns the ranges to request for the blocks from index `next` on.
    pub fn ranges_from(&self, next: usize) -> Vec<ByteRange> {
        let mut ranges: Vec<ByteRange> = Vec::new();
        for block in self.blocks.iter().skip(next) {
            match ranges.last_mut() {
                Some(range) if range.last.checked_add(1) == Some(block.offset) => {
                    range.last = block.last();
                    range.blocks = range.blocks.saturating_add(1);
                }
                _ => ranges.push(ByteRange { first: block.offset, last: block.last(), blocks: 1 }),
            }
        }
        ranges
    }

    /// Returns the parts of the requested members in this block, in order.
    pub fn slices_of(&self, block: &Block) -> Vec<MemberSlice<'a>> {
        self.members.iter().filter_map(|member| slice_in_block(block, member)).collect()
    }
}

fn slice_in_block<'a>(block: &Block, member: &'a Member) -> Option<MemberSlice<'a>> {
    let start = block.unpacked_offset.max(member.offset);
    let end = block.unpacked_end().min(member.end());
    (start < end).then(|| MemberSlice {
        member,
        at: start.saturating_sub(block.unpacked_offset),
        length: end.saturating_sub(start),
        begins: start == member.offset,
        ends: end == member.end(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::Catalog;
    use super::*;

    #[test]
    fn aarch64_is_one_block_of_4_mb() {
        let catalog = Catalog::embedded().unwrap();
        let package = catalog.package_for("x86_64").unwrap();
        let plan = package.plan_blocks(&["aarch64"]).unwrap();
        assert_eq!(plan.total_bytes(), 4_446_904);
        assert_eq!(plan.blocks().len(), 1);
        let slices = plan.slices_of(plan.blocks()[0]);
        assert!(slices[0].begins && slices[0].ends);
    }

    #[test]
    fn every_member_is_the_sum_of_its_slices() {
        let catalog = Catalog::embedded().unwrap();
        for package in &catalog.packages {
            for member in &package.members {
                let plan = package.plan_blocks(&[&member.target]).unwrap();
                let slices: Vec<MemberSlice<'_>> = plan.blocks().iter().flat_map(|b| plan.slices_of(b)).collect();
                assert_eq!(slices.iter().map(|slice| slice.length).sum::<u64>(), member.size);
                assert!(slices[0].begins && slices[slices.len() - 1].ends);
                assert_eq!(slices.iter().filter(|slice| slice.begins).count(), 1);
            }
        }
    }

    #[test]
    fn all_guests_are_one_range_and_duplicates_change_nothing() {
        let catalog = Catalog::embedded().unwrap();
        let package = catalog.package_for("aarch64").unwrap();
        let mut all: Vec<&str> = package.members.iter().map(|m| m.target.as_str()).collect();
        all.extend(all.clone());
        all.reverse();
        let plan = package.plan_blocks(&all).unwrap();
        assert_eq!(plan.members().len(), 33);
        assert_eq!(plan.ranges_from(0).len(), 1);
        assert_eq!(plan.ranges_from(0)[0].blocks, plan.blocks().len());
        assert_eq!(plan.ranges_from(plan.blocks().len()), []);
    }

    #[test]
    fn an_unknown_guest_is_named() {
        let catalog = Catalog::embedded().unwrap();
        let error = catalog.packages[0].plan_blocks(&["vax"]).unwrap_err().to_string();
        assert!(error.contains("qemu-vax"), "{error}");
    }
}
