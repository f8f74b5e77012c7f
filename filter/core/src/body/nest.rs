//! Which object or array the scan is in: one bit for each, so that depth costs no memory. Against THREATS 3 (depth).

use super::BodyFault;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Object,
    Array,
}

/// The containers that are open, outermost first; a set bit is an object.
#[derive(Debug, Clone)]
pub(super) struct Nest {
    kinds: [u64; 4],
    depth: u8,
    max_depth: u8,
}

impl Nest {
    pub(super) const fn new(max_depth: u8) -> Self {
        Self {
            kinds: [0; 4],
            depth: 0,
            max_depth,
        }
    }

    pub(super) const fn depth(&self) -> u8 {
        self.depth
    }

    /// # Errors
    /// `TooDeep`.
    pub(super) fn open(&mut self, container: Container) -> Result<(), BodyFault> {
        if self.depth >= self.max_depth {
            return Err(BodyFault::TooDeep);
        }
        let (word, bit) = place(self.depth);
        let Some(word) = self.kinds.get_mut(word) else {
            return Err(BodyFault::TooDeep);
        };
        match container {
            Container::Object => *word |= bit,
            Container::Array => *word &= !bit,
        }
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    pub(super) const fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// The innermost container.
    pub(super) fn innermost(&self) -> Option<Container> {
        let (word, bit) = place(self.depth.checked_sub(1)?);
        let object = self.kinds.get(word)? & bit != 0;
        Some(if object {
            Container::Object
        } else {
            Container::Array
        })
    }
}

/// The word and the bit of the container that `depth` others are around.
const fn place(depth: u8) -> (usize, u64) {
    ((depth >> 6) as usize, 1 << (depth & 63))
}

#[cfg(test)]
mod tests {
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn remembers_every_container_of_the_deepest_nest() {
        let kind = |depth: u8| {
            if depth.is_multiple_of(3) {
                Container::Object
            } else {
                Container::Array
            }
        };
        let mut nest = Nest::new(u8::MAX);
        for depth in 0..u8::MAX {
            nest.open(kind(depth)).unwrap();
        }
        assert_eq!(
            nest.open(Container::Array),
            Err(BodyFault::TooDeep),
            "the limit itself is inside, one more is not"
        );
        for depth in (0..u8::MAX).rev() {
            assert_eq!(nest.innermost(), Some(kind(depth)), "at {depth}");
            nest.close();
        }
        assert_eq!(nest.innermost(), None, "all closed");
    }

    #[test]
    fn a_closed_container_leaves_no_bit_behind() {
        let mut nest = Nest::new(2);
        nest.open(Container::Object).unwrap();
        nest.close();
        nest.open(Container::Array).unwrap();
        assert_eq!(nest.innermost(), Some(Container::Array));
    }
}
