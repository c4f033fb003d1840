//! Blocks of memory for programs: zeroed, aligned, and refused with an error rather than an abort.

use crate::error::{Error, Result};
use memmap2::MmapMut;

/// Alignment of every block in bytes: a cache line, and the widest vector register.
pub const ALIGNMENT: usize = 64;

/// From this size on huge pages are asked for: fewer TLB misses over large weights.
#[cfg(target_os = "linux")]
const HUGE: usize = 4 << 20;

/// A zeroed block, mapped from the system, so that pages never touched cost nothing.
pub struct Block {
    map: MmapMut,
    bytes: usize,
}

impl Block {
    /// A block of `bytes` zero bytes; `what` names it in the error.
    pub fn zeroed(what: &str, bytes: usize) -> Result<Block> {
        let refused = |source| Error::Memory { what: what.to_owned(), bytes, source };
        let rounded = bytes
            .max(1)
            .checked_next_multiple_of(ALIGNMENT)
            .filter(|&b| b <= isize::MAX as usize)
            .ok_or_else(|| refused(std::io::ErrorKind::OutOfMemory.into()))?;
        let map = MmapMut::map_anon(rounded).map_err(refused)?;
        #[cfg(target_os = "linux")]
        if rounded >= HUGE {
            // Only a wish: a kernel without huge pages says no, and small pages work as well.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Block { map, bytes })
    }

    /// Its length as asked for.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Its first byte; aligned to [`ALIGNMENT`] (mappings start on pages).
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map[..self.bytes]
    }

    /// Its bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.bytes]
    }

    /// Its contents as f32, i32 or u8; a remainder smaller than one element is left out.
    pub fn elements<T: bytemuck::AnyBitPattern>(&self) -> &[T] {
        let whole = self.bytes / size_of::<T>() * size_of::<T>();
        bytemuck::cast_slice(&self.map[..whole])
    }

    /// Its contents as f32, i32 or u8; a remainder smaller than one element is left out.
    pub fn elements_mut<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(&mut self) -> &mut [T] {
        let whole = self.bytes / size_of::<T>() * size_of::<T>();
        bytemuck::cast_slice_mut(&mut self.map[..whole])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zeroed_aligned_and_sized_as_asked() {
        for bytes in [0, 1, 63, 64, 4097, HUGE + 3] {
            let mut block = Block::zeroed("test", bytes).unwrap();
            assert_eq!(block.len(), bytes);
            assert_eq!(block.as_mut_ptr() as usize % ALIGNMENT, 0);
            assert!(block.bytes().iter().all(|&b| b == 0));
            assert_eq!(block.elements::<f32>().len(), bytes / 4);
        }
    }

    #[test]
    fn impossible_sizes_are_an_error_that_names_the_bytes() {
        for bytes in [usize::MAX, isize::MAX as usize - 63, 1 << 62] {
            let error = Block::zeroed("the arena of train", bytes).err().unwrap();
            let text = error.to_string();
            assert!(text.contains(&format!("cannot allocate {bytes} bytes for the arena of train")), "{text}");
            assert_eq!(error.blame(), crate::error::Blame::Environment);
        }
    }
}
