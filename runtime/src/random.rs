//! Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy
//! as 1, 2, 3").
//!
//! A number depends on its key and counter alone, so it does not matter which thread asks, in which order, or whether
//! a run was interrupted. Compiled code draws the same numbers: this is the reference that the generated code equals
//! bit for bit.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox4x32 on `counter` under `key`.
pub fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let mut key = key;
    let mut c = counter;
    for _ in 0..10 {
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    c
}

/// Maps 32 random bits to [0, 1): the upper 24 bits over 2^24, so every value is an exact f32.
pub fn unit_interval(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A stream of numbers for host-side choices (shuffling, crops, flips), keyed by seed and three further words.
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
}

impl Stream {
    /// The stream named by `seed` and `id` (say, epoch, sample and purpose). Streams with different ids are
    /// independent.
    pub fn new(seed: u64, id: [u32; 3]) -> Self {
        Stream { key: [seed as u32, (seed >> 32) as u32], counter: [0, id[0], id[1], id[2]] }
    }

    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        let out = philox(self.key, self.counter)[0];
        self.counter[0] = self.counter[0].wrapping_add(1);
        out
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f32 {
        unit_interval(self.bits())
    }

    /// A number in 0..n, by Lemire's multiply-shift; n must be at least 1.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(n)) >> 32) as u32
    }

    /// A Fisher-Yates permutation of 0..n.
    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u32 + 1) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_the_reference_implementation() {
        // Random123's kat_vectors, philox4x32 with 10 rounds.
        assert_eq!(philox([0, 0], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let f = u32::MAX;
        assert_eq!(philox([f, f], [f; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0xa409_3822, 0x299f_31d0], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn permutation_has_every_index_once() {
        let mut p = Stream::new(7, [1, 2, 3]).permutation(1000);
        p.sort_unstable();
        assert!(p.iter().enumerate().all(|(i, &x)| i as u32 == x));
    }
}
