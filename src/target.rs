//! The machine that code is made for, in the terms that schedules need.

/// A CPU target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// LLVM target triple.
    pub triple: String,
    /// LLVM CPU name, as `znver3`.
    pub cpu: String,
    /// LLVM feature string, as `+avx2,+fma`.
    pub features: String,
    /// f32 elements in one vector register.
    pub lanes: usize,
    /// Vector registers.
    pub registers: usize,
}

impl Target {
    /// Rows and vectors of the register tile of a matrix product: accumulators, one row of the right operand and a
    /// broadcast must fit in the register file (16 registers: 6×2; 32 registers: 14×2).
    pub fn tile(&self) -> (usize, usize) {
        let vectors = 2;
        ((self.registers - 1 - vectors) / vectors, vectors)
    }
}
