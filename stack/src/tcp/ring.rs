//! A ring of bytes between an application and the network: appended at its end, taken at its front, and it grows. It has
//! memory ([`crate::sys::arena`]) from the first write until it has been empty for a while.

use crate::sys::arena::Memory;

/// The bytes that were written and not taken.
#[derive(Debug)]
pub(crate) struct Ring {
    /// There while anything is in it, and as long as it is used now and then.
    memory: Option<Memory>,
    capacity: usize,
    start: usize,
    len: usize,
    /// Whether anything was written since [`rest`](Self::rest).
    used: bool,
}

impl Ring {
    /// An empty one for `capacity` bytes, 1 to 128 MiB.
    pub(crate) const fn new(capacity: usize) -> Self {
        Self { memory: None, capacity, start: 0, len: 0, used: false }
    }

    /// Whether there is memory to write to, or can be had.
    pub(crate) fn prepare(&mut self) -> bool {
        if self.memory.is_none() {
            self.memory = Memory::new(self.capacity).ok();
        }
        self.memory.is_some()
    }

    /// Whether it has memory.
    pub(crate) const fn has_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Gives the memory back if nothing is in it, and nothing was written since it rested last.
    pub(crate) fn rest(&mut self) {
        if !std::mem::take(&mut self.used) && self.len == 0 {
            self.memory = None;
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that it still takes.
    pub(crate) const fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// Makes it larger, if there is memory; what is in it stays.
    pub(crate) fn grow(&mut self, capacity: usize) {
        let capacity = capacity.max(self.capacity);
        if self.memory.is_some() {
            let Ok(mut memory) = Memory::new(capacity) else { return };
            self.copy(0, &mut memory[..self.len]);
            (self.memory, self.start) = (Some(memory), 0);
        }
        self.capacity = capacity;
    }

    /// Appends what fits and says how much that is.
    pub(crate) fn write(&mut self, data: &[u8]) -> usize {
        let mut done = 0;
        while done < data.len() {
            let wrote = self.write_with(|room| {
                let len = room.len().min(data.len() - done);
                room[..len].copy_from_slice(&data[done..done + len]);
                len
            });
            if wrote == 0 {
                break;
            }
            done += wrote;
        }
        done
    }

    /// Lets `f` fill a contiguous free part and say how much it wrote.
    pub(crate) fn write_with(&mut self, f: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let end = self.place(self.len);
        let contiguous = self.room().min(self.capacity - end);
        if !self.prepare() {
            return 0;
        }
        let Some(memory) = &mut self.memory else { return 0 };
        let wrote = f(&mut memory[end..end + contiguous]).min(contiguous);
        self.len += wrote;
        self.used = true;
        wrote
    }

    /// Copies out what stands behind `offset` bytes, and leaves it there; says how much that is.
    pub(crate) fn copy(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.len.saturating_sub(offset));
        let Some(memory) = self.memory.as_ref().filter(|_| len > 0) else { return 0 };
        let from = self.place(offset);
        let first = len.min(self.capacity - from);
        buffer[..first].copy_from_slice(&memory[from..from + first]);
        buffer[first..len].copy_from_slice(&memory[..len - first]);
        len
    }

    /// Lets `f` look at the contiguous front and say how much of it is taken.
    pub(crate) fn take_with(&mut self, f: impl FnOnce(&[u8]) -> usize) -> usize {
        let contiguous = self.len.min(self.capacity - self.start);
        let front =
            self.memory.as_ref().map_or(&[][..], |memory| &memory[self.start..self.start + contiguous]);
        let taken = f(front).min(contiguous);
        self.discard(taken);
        taken
    }

    /// Copies out of the front and takes it; says how much that is.
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let len = self.copy(0, buffer);
        self.discard(len);
        len
    }

    /// Takes so many bytes from the front, or what there is.
    pub(crate) fn discard(&mut self, len: usize) {
        let len = len.min(self.len);
        self.len -= len;
        // An empty one begins anew: the memory that was just used is in the processor's cache.
        self.start = if self.len == 0 { 0 } else { self.place(len) };
    }

    /// Where in the memory the byte behind `offset` bytes stands, or would stand.
    fn place(&self, offset: usize) -> usize {
        let place = self.start + offset;
        if place < self.capacity { place } else { place - self.capacity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn it_holds_what_a_queue_holds_whatever_is_done_to_it() {
        // Marsaglia's xorshift.
        let mut state = 7u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 20
        };
        for capacity in [1, 2, 7, 64, 4096] {
            let (mut ring, mut queue) = (Ring::new(capacity), VecDeque::new());
            let mut next = 0u8;
            for _ in 0..3000 {
                let amount = random() as usize % (ring.capacity() + 2);
                match random() % 7 {
                    0 | 1 => {
                        let data: Vec<u8> = (0..amount).map(|at| next.wrapping_add(at as u8)).collect();
                        let wrote = ring.write(&data);
                        assert_eq!(wrote, amount.min(ring.capacity() - queue.len()));
                        queue.extend(&data[..wrote]);
                        next = next.wrapping_add(wrote as u8);
                    }
                    2 => {
                        let mut buffer = vec![0; amount];
                        let taken = ring.take(&mut buffer);
                        assert!(buffer[..taken].iter().copied().eq(queue.drain(..amount.min(queue.len()))));
                    }
                    3 => {
                        let taken = ring.take_with(|front| {
                            assert!(front.iter().eq(queue.iter().take(front.len())));
                            assert!(!front.is_empty() || queue.is_empty());
                            amount
                        });
                        queue.drain(..taken);
                    }
                    4 => {
                        let mut buffer = vec![0; 5];
                        let copied = ring.copy(amount, &mut buffer);
                        assert!(buffer[..copied].iter().eq(queue.iter().skip(amount).take(5)));
                    }
                    5 if random() % 4 == 0 => ring.rest(),
                    _ if ring.capacity() < 20_000 && random() % 100 == 0 => {
                        ring.grow(ring.capacity() * 2 + 1);
                    }
                    _ => {}
                }
                assert_eq!((ring.len(), ring.room()), (queue.len(), ring.capacity() - queue.len()));
            }
        }
    }

    #[test]
    fn it_has_memory_while_it_is_used() {
        let mut ring = Ring::new(100);
        assert!(!ring.has_memory());
        ring.write(&[1; 60]);
        ring.rest();
        ring.rest();
        assert!(ring.has_memory(), "something is in it");
        ring.discard(60);
        ring.write(&[2; 10]);
        ring.discard(10);
        ring.rest();
        assert!(ring.has_memory(), "it was used");
        ring.rest();
        assert!(!ring.has_memory());
        ring.grow(200);
        assert_eq!((ring.write(&[3; 150]), ring.take(&mut [0; 200])), (150, 150));
    }

    #[test]
    fn an_empty_ring_begins_anew() {
        let mut ring = Ring::new(100);
        ring.write(&[1; 60]);
        ring.discard(60);
        assert_eq!(ring.write_with(|room| room.len()), 100);
    }
}
