//! Which counters of a sender were seen already: each is let through once (RFC 6479's sliding window).

/// How far behind the newest a counter may be and still be told from a replay, in counters.
pub const WINDOW_BITS: u64 = 2048;
const WORDS: usize = (WINDOW_BITS / 64) as usize;

/// Everything up to its beginning counts as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    /// Bit `counter % WINDOW_BITS`: seen, for the last [`WINDOW_BITS`] counters.
    seen: [u64; WORDS],
}

impl Window {
    /// Lets through what comes after `first`; `first` itself and all before it are seen.
    pub fn after(first: u64) -> Window {
        Window { highest: first, seen: [u64::MAX; WORDS] }
    }

    /// The highest counter that was let through.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// True the first time, if `counter` is not too old to tell.
    #[must_use]
    pub fn admit(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            self.advance(counter);
        } else if self.highest - counter >= WINDOW_BITS {
            return false;
        }
        let bit = counter % WINDOW_BITS;
        let word = &mut self.seen[(bit / 64) as usize];
        let is_new = *word & 1 << (bit % 64) == 0;
        *word |= 1 << (bit % 64);
        is_new
    }

    fn advance(&mut self, to: u64) {
        if to - self.highest >= WINDOW_BITS {
            self.seen = [0; WORDS];
        } else {
            for counter in self.highest + 1..=to {
                let bit = counter % WINDOW_BITS;
                self.seen[(bit / 64) as usize] &= !(1 << (bit % 64));
            }
        }
        self.highest = to;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_is_let_through_once_in_any_order() {
        let mut window = Window::after(10);
        for counter in [12, 11, 15, 14, 13] {
            assert!(window.admit(counter), "{counter} is new");
        }
        for counter in 0..=15 {
            assert!(!window.admit(counter), "{counter} was seen or is from before");
        }
    }

    #[test]
    fn what_fell_out_of_the_window_is_a_replay() {
        let mut window = Window::after(0);
        assert!(window.admit(1 + WINDOW_BITS));
        assert!(!window.admit(1));
        assert!(window.admit(2));
        assert!(window.admit(u64::MAX));
        assert!(!window.admit(u64::MAX) && !window.admit(2 + WINDOW_BITS));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_all_that_was_seen(counters in prop::collection::vec(0_u64..9000, 0..400)) {
            let (mut window, mut seen, mut highest) = (Window::after(100), BTreeSet::new(), 100_u64);
            for counter in counters {
                let is_recent = counter > 100 && counter + WINDOW_BITS > highest;
                prop_assert_eq!(window.admit(counter), is_recent && seen.insert(counter), "counter {}", counter);
                highest = highest.max(counter);
            }
        }
    }
}
