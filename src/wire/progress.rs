//! The progress of a reader through one object: only what differs from the documented form.

/// The differences found in one object so far. A field without a bit in any mask was read where the table has it, or
/// comes later. In each mask, each field has one bit.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    /// Fields that were not read in the documented form where the table has them.
    pub(super) passed: u64,
    /// Fields whose value was read in another place or in another form.
    pub(super) read: u64,
    /// Fields whose value could not be read.
    pub(super) bad: u64,
    /// Fields that are `null` or an empty string.
    pub(super) empty: u64,
    /// The odd key of the layout that is expected next.
    pub(super) expected: usize,
    /// Whether there is a difference.
    pub(super) is_odd: bool,
    /// Whether there is a difference that the layout does not know.
    pub(super) is_new: bool,
}

impl Progress {
    /// The progress at the start of an object whose layout knows of no difference.
    pub(super) const START: Self =
        Self { passed: 0, read: 0, bad: 0, empty: 0, expected: 0, is_odd: false, is_new: false };

    /// Returns the fields that were met in another place or in another form, readable or not.
    #[inline(always)]
    pub(super) fn met(&self) -> u64 {
        self.read | self.bad | self.empty
    }
}
