//! Things by handles that are never used again: an old policy must not find a new SA.
//!
//! ```text
//! | generation of the slot (32) | number of the slot + 1 (32) |
//! ```
//!
//! So a look-up is an index, and a slot of a removed thing serves the next one.

/// The things.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<Box<T>>,
}

impl<T> Handles<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The handle of the next thing; None when there are as many as there may be.
    pub(crate) fn next(&self) -> Option<u64> {
        let place = match self.free.last() {
            Some(place) => *place,
            None => u32::try_from(self.slots.len()).ok()?,
        };
        let slot = self.slots.get(place as usize);
        let generation = slot.map_or(0, |slot| slot.generation);
        Some(u64::from(generation) << 32 | u64::from(place.checked_add(1)?))
    }

    /// Put a thing under the handle that [`Handles::next`] gave last.
    pub(crate) fn insert_next(&mut self, value: Box<T>) {
        match self.free.pop() {
            Some(place) => self.slots[place as usize].value = Some(value),
            None => self.slots.push(Slot {
                generation: 0,
                value: Some(value),
            }),
        }
    }

    #[inline]
    pub(crate) fn get(&self, handle: u64) -> Option<&T> {
        let slot = self.slots.get(place(handle)?)?;
        let value = slot.value.as_deref()?;
        (slot.generation == generation(handle)).then_some(value)
    }

    pub(crate) fn get_mut(&mut self, handle: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(place(handle)?)?;
        let value = slot.value.as_deref_mut()?;
        (slot.generation == generation(handle)).then_some(value)
    }

    pub(crate) fn remove(&mut self, handle: u64) -> Option<Box<T>> {
        let place = place(handle)?;
        let slot = self.slots.get_mut(place)?;
        if slot.generation != generation(handle) {
            return None;
        }
        let value = slot.value.take()?;
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(place as u32);
        } // else it served four thousand million times, and rests
        Some(value)
    }
}

fn place(handle: u64) -> Option<usize> {
    (handle as u32).checked_sub(1).map(|place| place as usize)
}

fn generation(handle: u64) -> u32 {
    (handle >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// As a map whose keys are never used again.
        #[test]
        fn handles_are_never_used_again(steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..200)) {
            let (mut handles, mut oracle, mut used) = (Handles::new(), HashMap::new(), Vec::new());
            for (number, (adds, which)) in steps.into_iter().enumerate() {
                if adds || used.is_empty() {
                    let handle = handles.next().unwrap();
                    handles.insert_next(Box::new(number));
                    prop_assert!(handle != 0 && !used.contains(&handle));
                    used.push(handle);
                    oracle.insert(handle, number);
                } else {
                    let handle = used[which.index(used.len())];
                    prop_assert_eq!(handles.remove(handle).map(|value| *value), oracle.remove(&handle));
                }
                for handle in &used {
                    prop_assert_eq!(handles.get(*handle), oracle.get(handle));
                    prop_assert_eq!(handles.get_mut(*handle).map(|value| &*value), oracle.get(handle));
                }
            }
        }
    }

    #[test]
    fn a_slot_that_served_too_often_rests() {
        let mut handles = Handles::new();
        handles.insert_next(Box::new(1));
        handles.slots[0].generation = u32::MAX;
        let last = u64::from(u32::MAX) << 32 | 1;
        assert_eq!(handles.get(last), Some(&1));
        assert!(handles.remove(last).is_some() && handles.get(last).is_none());
        assert_eq!(handles.next(), Some(2));
        assert_eq!(handles.get(0), None);
    }
}
