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
    /// Bytes of numbers that threads should work on together at a time, to find them in a cache again.
    pub cache: usize,
    /// Whether it multiplies and adds in one rounding.
    pub fused: bool,
}
