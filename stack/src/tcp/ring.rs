//! A ring of bytes between an application and the network: appended at its end, taken at its front, and it grows. Its
//! memory costs nothing before it is touched ([`crate::sys::arena`]).

use std::io;

use crate::sys::arena::Memory;

/// The bytes that were written and not taken.
#[derive(Debug)]
pub(crate) struct Ring {
    memory: Memory,
    start: usize,
    len: usize,
}

impl Ring {
    /// An empty one for `capacity` bytes, 1 to 128 MiB.
    pub(crate) fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self { memory: Memory::new(capacity)?, start: 0, len: 0 })
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Bytes that it still takes.
    pub(crate) fn room(&self) -> usize {
        self.capacity() - self.len
    }

    /// Makes it larger, if there is memory; what is in it stays.
    pub(crate) fn grow(&mut self, capacity: usize) {
        let Ok(mut memory) = Memory::new(capacity.max(self.capacity())) else { return };
        self.copy(0, &mut memory[..self.len]);
        (self.memory, self.start) = (memory, 0);
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
        let contiguous = self.room().min(self.capacity() - end);
        let room = &mut self.memory[end..end + contiguous];
        let wrote = f(room).min(contiguous);
        self.len += wrote;
        wrote
    }

    /// Copies out what stands behind `offset` bytes, and leaves it there; says how much that is.
    pub(crate) fn copy(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.len.saturating_sub(offset));
        let from = self.place(offset);
        let first = len.min(self.capacity() - from);
        buffer[..first].copy_from_slice(&self.memory[from..from + first]);
        buffer[first..len].copy_from_slice(&self.memory[..len - first]);
        len
    }

    /// Lets `f` look at the contiguous front and say how much of it is taken.
    pub(crate) fn take_with(&mut self, f: impl FnOnce(&[u8]) -> usize) -> usize {
        let contiguous = self.len.min(self.capacity() - self.start);
        let taken = f(&self.memory[self.start..self.start + contiguous]).min(contiguous);
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
        if place < self.capacity() { place } else { place - self.capacity() }
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
            let (mut ring, mut queue) = (Ring::new(capacity).unwrap(), VecDeque::new());
            let mut next = 0u8;
            for _ in 0..3000 {
                let amount = random() as usize % (ring.capacity() + 2);
                match random() % 6 {
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
    fn an_empty_ring_begins_anew() {
        let mut ring = Ring::new(100).unwrap();
        ring.write(&[1; 60]);
        ring.discard(60);
        assert_eq!(ring.write_with(|room| room.len()), 100);
    }
}
