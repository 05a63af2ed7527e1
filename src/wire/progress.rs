//! The progress of a reader through one object: only what differs from the documented form.

/// The differences found in one object so far. A field without a bit in any mask was read where the table has it, or
/// comes later. In each mask, each field has one bit.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    /// Fields that were not read in the documented form where the table has them.
    pub(super) passed: u64,
    /// Fields that were met in another place or in another form, readable or not.
    pub(super) met: u64,
    /// Those of them whose value was read.
    pub(super) read: u64,
    /// Those of them whose value could not be read, except `null` and empty strings.
    pub(super) bad: u64,
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
        Self { passed: 0, met: 0, read: 0, bad: 0, expected: 0, is_odd: false, is_new: false };

    /// Notes that the value of a field was read in another place or in another form.
    #[inline(always)]
    pub(super) fn set_read(&mut self, bit: u64) {
        (self.met, self.read, self.bad) = (self.met | bit, self.read | bit, self.bad & !bit);
    }
}
