//! Memory between pages that nobody may touch: an access before or behind it ends the test at once.

use std::ops::Range;

/// Bytes of a page: those of the machine, or a multiple of it.
pub const PAGE: usize = 1 << 14;

/// Which end of the memory is at a page that nobody may touch; the other one is less than a page away from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

impl Side {
    /// Where `bytes` start in the pages that hold them.
    pub fn start(self, bytes: usize) -> usize {
        match self {
            Side::Before => 0,
            Side::After => bytes.next_multiple_of(PAGE) - bytes,
        }
    }
}

/// A block of such memory, full of NaN.
pub struct Guarded {
    pages: *mut u8,
    len: usize,
    start: *mut u8,
    bytes: usize,
}

impl Guarded {
    pub fn new(bytes: usize, side: Side) -> Guarded {
        let inside = bytes.next_multiple_of(PAGE);
        let len = inside + 2 * PAGE;
        // SAFETY: new pages, of which those in the middle may be read and written from here on.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let pages = libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED, "no memory");
            let pages = pages.cast::<u8>();
            if inside > 0 {
                let made = libc::mprotect(pages.add(PAGE).cast(), inside, libc::PROT_READ | libc::PROT_WRITE);
                assert_eq!(made, 0, "no memory");
            }
            let start = pages.add(PAGE + side.start(bytes));
            std::slice::from_raw_parts_mut(start, bytes).fill(0xff);
            Guarded { pages, len, start, bytes }
        }
    }

    /// A copy of some bytes.
    pub fn of(contents: &[u8], side: Side) -> Guarded {
        let mut block = Guarded::new(contents.len(), side);
        block.bytes_mut().copy_from_slice(contents);
        block
    }

    pub fn pointer(&mut self) -> *mut u8 {
        self.start
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: these bytes are this block's, and were written when it was made.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }

    /// Forbids the whole pages of a range of its bytes, for good.
    pub fn forbid(&mut self, range: &Range<usize>) {
        let from = self.start as usize - self.pages as usize;
        let first = (from + range.start).next_multiple_of(PAGE);
        let end = (from + range.end) / PAGE * PAGE;
        if first < end {
            // SAFETY: the pages are this block's.
            let done = unsafe { libc::mprotect(self.pages.add(first).cast(), end - first, libc::PROT_NONE) };
            assert_eq!(done, 0, "pages from {first} to {end}");
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the pages are this block's, and it ends.
        unsafe { libc::munmap(self.pages.cast(), self.len) };
    }
}
