//! Arithmetic on values that are scalars or vectors alike, and the elementary functions.
//!
//! The elementary functions are polynomials of our own, so that results do not depend on a maths library and vectors
//! need no calls (but for `fmaf`, on targets without fused multiply-add). Errors are stated at [`Unary`].

use super::body::vector;
use crate::kernel::{Binary, Compare, Unary};
use inkwell::builder::{Builder, BuilderError};
use inkwell::context::Context;
use inkwell::intrinsics::Intrinsic;
use inkwell::module::Module;
use inkwell::types::{BasicTypeEnum, VectorType};
use inkwell::values::{AnyValue, BasicValueEnum, InstructionOpcode, IntValue, PointerValue, ValueKind};
use inkwell::{FloatPredicate, IntPredicate};

type Emit<T> = Result<T, BuilderError>;
type Value<'ctx> = BasicValueEnum<'ctx>;

#[derive(Clone, Copy)]
pub(super) struct Math<'a, 'ctx> {
    pub context: &'ctx Context,
    pub module: &'a Module<'ctx>,
    pub builder: &'a Builder<'ctx>,
}

impl<'ctx> Math<'_, 'ctx> {
    fn lanes(&self, value: Value<'ctx>) -> u32 {
        if value.is_vector_value() { value.into_vector_value().get_type().get_size() } else { 1 }
    }

    /// A scalar in every lane; a vector as it is.
    pub fn spread(&self, value: Value<'ctx>, lanes: u32) -> Emit<Value<'ctx>> {
        if lanes == 1 || value.is_vector_value() {
            return Ok(value);
        }
        let i32_type = self.context.i32_type();
        let undefined = match vector(value.get_type(), lanes) {
            BasicTypeEnum::VectorType(t) => t.get_undef(),
            other => panic!("bug in netc: no vector of {other:?}"),
        };
        let first = self.builder.build_insert_element(undefined, value, i32_type.const_zero(), "")?;
        let mask = i32_type.vec_type(lanes).const_zero();
        Ok(self.builder.build_shuffle_vector(first, undefined, mask, "")?.into())
    }

    /// A word and those that follow it by `step`, one a lane; if there is no other, the word as it is.
    pub fn ramp(&self, first: IntValue<'ctx>, step: i64, lanes: u32) -> Emit<Value<'ctx>> {
        if lanes == 1 || step == 0 {
            return Ok(first.into());
        }
        let words: Vec<IntValue> =
            (0..lanes).map(|lane| self.i32((step as u32).wrapping_mul(lane)).into_int_value()).collect();
        self.op(InstructionOpcode::Add, first.into(), VectorType::const_vector(&words).into())
    }

    /// One vector of scalars; a single scalar as it is.
    pub fn pack(&self, values: &[Value<'ctx>]) -> Emit<Value<'ctx>> {
        if let [one] = values {
            return Ok(*one);
        }
        let i32_type = self.context.i32_type();
        let mut packed = match vector(values[0].get_type(), values.len() as u32) {
            BasicTypeEnum::VectorType(t) => t.get_undef(),
            other => panic!("bug in netc: no vector of {other:?}"),
        };
        for (i, value) in values.iter().enumerate() {
            packed = self.builder.build_insert_element(packed, *value, i32_type.const_int(i as u64, false), "")?;
        }
        Ok(packed.into())
    }

    /// One lane of a vector; a scalar as it is.
    pub fn lane(&self, value: Value<'ctx>, lane: u32) -> Emit<Value<'ctx>> {
        if !value.is_vector_value() {
            return Ok(value);
        }
        let lane = self.context.i32_type().const_int(u64::from(lane), false);
        self.builder.build_extract_element(value.into_vector_value(), lane, "")
    }

    /// Both with the same number of lanes.
    fn alike(&self, x: Value<'ctx>, y: Value<'ctx>) -> Emit<(Value<'ctx>, Value<'ctx>)> {
        let lanes = self.lanes(x).max(self.lanes(y));
        Ok((self.spread(x, lanes)?, self.spread(y, lanes)?))
    }

    /// A conversion to `element` (a scalar type), lane by lane.
    pub fn cast(&self, op: InstructionOpcode, value: Value<'ctx>, element: BasicTypeEnum<'ctx>) -> Emit<Value<'ctx>> {
        let lanes = self.lanes(value);
        let ty = if lanes > 1 { vector(element, lanes) } else { element };
        self.builder.build_cast(op, value, ty, "")
    }

    fn op(&self, op: InstructionOpcode, x: Value<'ctx>, y: Value<'ctx>) -> Emit<Value<'ctx>> {
        let (x, y) = self.alike(x, y)?;
        self.builder.build_binop(op, x, y, "")
    }

    fn f32(&self, c: f32) -> Value<'ctx> {
        self.context.f32_type().const_float(f64::from(c)).into()
    }

    fn i32(&self, c: u32) -> Value<'ctx> {
        self.context.i32_type().const_int(u64::from(c), false).into()
    }

    fn is_float(&self, value: Value<'ctx>) -> bool {
        match value {
            BasicValueEnum::VectorValue(v) => v.get_type().get_element_type().is_float_type(),
            other => other.is_float_value(),
        }
    }

    fn add(&self, x: Value<'ctx>, y: Value<'ctx>) -> Emit<Value<'ctx>> {
        self.op(InstructionOpcode::FAdd, x, y)
    }

    fn sub(&self, x: Value<'ctx>, y: Value<'ctx>) -> Emit<Value<'ctx>> {
        self.op(InstructionOpcode::FSub, x, y)
    }

    fn mul(&self, x: Value<'ctx>, y: Value<'ctx>) -> Emit<Value<'ctx>> {
        self.op(InstructionOpcode::FMul, x, y)
    }

    fn div(&self, x: Value<'ctx>, y: Value<'ctx>) -> Emit<Value<'ctx>> {
        self.op(InstructionOpcode::FDiv, x, y)
    }

    /// Asks for the cache line of an address, which is read or else written soon, into the second cache.
    pub fn prefetch(&self, address: PointerValue<'ctx>, read: bool) -> Emit<()> {
        let i32_type = self.context.i32_type();
        let [write, locality, data] = [u64::from(!read), 2, 1].map(|value| i32_type.const_int(value, false).into());
        let function = Intrinsic::find("llvm.prefetch")
            .and_then(|i| i.get_declaration(self.module, &[address.get_type().into()]))
            .unwrap_or_else(|| panic!("bug in netc: LLVM has no intrinsic llvm.prefetch"));
        self.builder.build_call(function, &[address.into(), write, locality, data], "")?;
        Ok(())
    }

    /// Calls an overloaded intrinsic on operands of one type.
    fn intrinsic(&self, name: &str, operands: &[Value<'ctx>]) -> Emit<Value<'ctx>> {
        let declaration = Intrinsic::find(name)
            .and_then(|i| i.get_declaration(self.module, &[operands[0].get_type()]))
            .unwrap_or_else(|| panic!("bug in netc: LLVM has no intrinsic {name}"));
        let arguments: Vec<_> = operands.iter().map(|&v| v.into()).collect();
        match self.builder.build_call(declaration, &arguments, "")?.try_as_basic_value() {
            ValueKind::Basic(value) => Ok(value),
            ValueKind::Instruction(i) => panic!("bug in netc: {} has no result", i.print_to_string()),
        }
    }

    pub fn mul_add(&self, x: Value<'ctx>, y: Value<'ctx>, z: Value<'ctx>) -> Emit<Value<'ctx>> {
        let lanes = self.lanes(x).max(self.lanes(y)).max(self.lanes(z));
        let operands = [self.spread(x, lanes)?, self.spread(y, lanes)?, self.spread(z, lanes)?];
        self.intrinsic("llvm.fma", &operands)
    }

    pub fn select(&self, condition: Value<'ctx>, x: Value<'ctx>, y: Value<'ctx>) -> Emit<Value<'ctx>> {
        let lanes = self.lanes(condition).max(self.lanes(x)).max(self.lanes(y));
        let (x, y) = (self.spread(x, lanes)?, self.spread(y, lanes)?);
        match self.spread(condition, lanes)? {
            BasicValueEnum::VectorValue(c) => self.builder.build_select(c, x, y, ""),
            c => self.builder.build_select(c.into_int_value(), x, y, ""),
        }
    }

    pub fn compare(&self, op: Compare, x: Value<'ctx>, y: Value<'ctx>) -> Emit<Value<'ctx>> {
        let (x, y) = self.alike(x, y)?;
        if self.is_float(x) {
            let predicate = match op {
                Compare::Eq => FloatPredicate::OEQ,
                Compare::Ne => FloatPredicate::UNE,
                Compare::Lt => FloatPredicate::OLT,
                Compare::Le => FloatPredicate::OLE,
                Compare::Gt => FloatPredicate::OGT,
                Compare::Ge => FloatPredicate::OGE,
            };
            Ok(match (x, y) {
                (BasicValueEnum::VectorValue(x), BasicValueEnum::VectorValue(y)) => {
                    self.builder.build_float_compare(predicate, x, y, "")?.into()
                }
                (x, y) => {
                    self.builder.build_float_compare(predicate, x.into_float_value(), y.into_float_value(), "")?.into()
                }
            })
        } else {
            let predicate = match op {
                Compare::Eq => IntPredicate::EQ,
                Compare::Ne => IntPredicate::NE,
                Compare::Lt => IntPredicate::SLT,
                Compare::Le => IntPredicate::SLE,
                Compare::Gt => IntPredicate::SGT,
                Compare::Ge => IntPredicate::SGE,
            };
            Ok(match (x, y) {
                (BasicValueEnum::VectorValue(x), BasicValueEnum::VectorValue(y)) => {
                    self.builder.build_int_compare(predicate, x, y, "")?.into()
                }
                (x, y) => self.builder.build_int_compare(predicate, x.into_int_value(), y.into_int_value(), "")?.into(),
            })
        }
    }

    pub fn binary(&self, op: Binary, x: Value<'ctx>, y: Value<'ctx>) -> Emit<Value<'ctx>> {
        let float = self.is_float(x);
        match op {
            Binary::Add if float => self.add(x, y),
            Binary::Sub if float => self.sub(x, y),
            Binary::Mul if float => self.mul(x, y),
            Binary::Add => self.op(InstructionOpcode::Add, x, y),
            Binary::Sub => self.op(InstructionOpcode::Sub, x, y),
            Binary::Mul => self.op(InstructionOpcode::Mul, x, y),
            Binary::Div => self.div(x, y),
            Binary::Min => self.select(self.compare(Compare::Lt, x, y)?, x, y),
            Binary::Max => self.select(self.compare(Compare::Gt, x, y)?, x, y),
        }
    }

    pub fn unary(&self, op: Unary, x: Value<'ctx>) -> Emit<Value<'ctx>> {
        match op {
            Unary::Neg if self.is_float(x) => match x {
                BasicValueEnum::VectorValue(v) => Ok(self.builder.build_float_neg(v, "")?.into()),
                v => Ok(self.builder.build_float_neg(v.into_float_value(), "")?.into()),
            },
            Unary::Neg => self.op(InstructionOpcode::Sub, self.i32(0), x),
            Unary::Sqrt => self.intrinsic("llvm.sqrt", &[x]),
            Unary::Exp => self.exp(x),
            Unary::Log => self.log(x),
            Unary::Tanh => self.tanh(x),
            Unary::Sigmoid => {
                let e = self.exp(self.unary(Unary::Neg, x)?)?;
                self.div(self.f32(1.0), self.add(self.f32(1.0), e)?)
            }
            Unary::CosTurn => self.cos_turn(x),
            Unary::ToF32 => self.cast(InstructionOpcode::SIToFP, x, self.context.f32_type().into()),
            Unary::UnitInterval => {
                let upper = self.op(InstructionOpcode::LShr, x, self.i32(8))?;
                let value = self.cast(InstructionOpcode::SIToFP, upper, self.context.f32_type().into())?;
                self.mul(value, self.f32(1.0 / 16_777_216.0))
            }
        }
    }

    /// The polynomial with these coefficients, highest power first.
    fn polynomial(&self, x: Value<'ctx>, coefficients: &[f32]) -> Emit<Value<'ctx>> {
        let mut sum = self.f32(coefficients[0]);
        for &c in &coefficients[1..] {
            sum = self.mul_add(sum, x, self.f32(c))?;
        }
        Ok(sum)
    }

    fn bits(&self, x: Value<'ctx>) -> Emit<Value<'ctx>> {
        self.cast(InstructionOpcode::BitCast, x, self.context.i32_type().into())
    }

    fn float_of(&self, x: Value<'ctx>) -> Emit<Value<'ctx>> {
        self.cast(InstructionOpcode::BitCast, x, self.context.f32_type().into())
    }

    /// eˣ = 2ⁿ·eʳ with n = round(x/ln 2) and |r| ≤ ln 2/2; eʳ by its Taylor polynomial of degree 7, 2ⁿ in two factors
    /// so that overflow and gradual underflow come out right. NaN stays NaN.
    fn exp(&self, x: Value<'ctx>) -> Emit<Value<'ctx>> {
        let x = self.binary(Binary::Min, self.f32(89.0), x)?;
        let x = self.binary(Binary::Max, self.f32(-104.0), x)?;
        // Adding 1.5·2^23 leaves the rounded integer in the low bits.
        let shifter = self.f32(12_582_912.0);
        let shifted = self.mul_add(x, self.f32(std::f32::consts::LOG2_E), shifter)?;
        let n = self.sub(shifted, shifter)?;
        let integer = self.op(InstructionOpcode::Sub, self.bits(shifted)?, self.i32(0x4B40_0000))?;
        // ln 2 in two parts; the first has few bits, so n times it is exact.
        let r = self.mul_add(n, self.f32(-0.693_359_4), x)?;
        let r = self.mul_add(n, self.f32(2.121_944_4e-4), r)?;
        let factorials =
            [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0].map(|c: f64| c as f32);
        let power = self.polynomial(r, &factorials)?;
        let half = self.op(InstructionOpcode::AShr, integer, self.i32(1))?;
        let rest = self.op(InstructionOpcode::Sub, integer, half)?;
        let two_to = |n: Value<'ctx>| -> Emit<Value<'ctx>> {
            let biased = self.op(InstructionOpcode::Add, n, self.i32(127))?;
            self.float_of(self.op(InstructionOpcode::Shl, biased, self.i32(23))?)
        };
        self.mul(self.mul(power, two_to(half)?)?, two_to(rest)?)
    }

    /// ln x = k·ln 2 + ln(1 + f) with √½ ≤ 1 + f < √2 and, for s = f/(2 + f), ln(1 + f) = 2·artanh s as a polynomial in
    /// s² (minimax coefficients of FreeBSD's logf).
    fn log(&self, x: Value<'ctx>) -> Emit<Value<'ctx>> {
        let tiny = self.compare(Compare::Lt, x, self.f32(f32::MIN_POSITIVE))?;
        let scaled = self.select(tiny, self.mul(x, self.f32(33_554_432.0))?, x)?;
        let bias = self.select(tiny, self.i32(127 + 25), self.i32(127))?;
        let root_half = self.i32(0x3F35_04F3);
        let shifted = self.op(
            InstructionOpcode::Add,
            self.bits(scaled)?,
            self.op(InstructionOpcode::Sub, self.i32(0x3F80_0000), root_half)?,
        )?;
        let exponent = self.op(InstructionOpcode::LShr, shifted, self.i32(23))?;
        let k = self.op(InstructionOpcode::Sub, exponent, bias)?;
        let k = self.cast(InstructionOpcode::SIToFP, k, self.context.f32_type().into())?;
        let mantissa = self.op(InstructionOpcode::And, shifted, self.i32(0x007F_FFFF))?;
        let m = self.float_of(self.op(InstructionOpcode::Add, mantissa, root_half)?)?;
        let f = self.sub(m, self.f32(1.0))?;
        let s = self.div(f, self.add(self.f32(2.0), f)?)?;
        let z = self.mul(s, s)?;
        let series = self.polynomial(z, &[0.242_790_79, 0.284_987_87, 0.400_009_72, 0.666_666_6])?;
        let r = self.mul(z, series)?;
        let half_square = self.mul(self.mul(f, f)?, self.f32(0.5))?;
        let low = self.mul_add(k, self.f32(9.058_001e-6), self.mul(s, self.add(half_square, r)?)?)?;
        let value = self.add(self.sub(low, half_square)?, f)?;
        let value = self.mul_add(k, self.f32(0.693_138_1), value)?;
        // Infinity and NaN are their own logarithms; NaN compares false.
        let finite = self.compare(Compare::Lt, x, self.f32(f32::INFINITY))?;
        let value = self.select(finite, value, x)?;
        let zero = self.compare(Compare::Eq, x, self.f32(0.0))?;
        let value = self.select(zero, self.f32(f32::NEG_INFINITY), value)?;
        let negative = self.compare(Compare::Lt, x, self.f32(0.0))?;
        self.select(negative, self.f32(f32::NAN), value)
    }

    /// Near 0 Lambert's continued fraction, cut off after seven terms; else 1 − 2/(e^2|x| + 1) with x's sign.
    fn tanh(&self, x: Value<'ctx>) -> Emit<Value<'ctx>> {
        let z = self.mul(x, x)?;
        let above = self.polynomial(z, &[1.0, 378.0, 17_325.0, 135_135.0])?;
        let below = self.polynomial(z, &[28.0, 3_150.0, 62_370.0, 135_135.0])?;
        let near = self.div(self.mul(x, above)?, below)?;
        let negative = self.compare(Compare::Lt, x, self.f32(0.0))?;
        let size = self.select(negative, self.unary(Unary::Neg, x)?, x)?;
        let e = self.exp(self.add(size, size)?)?;
        let far = self.sub(self.f32(1.0), self.div(self.f32(2.0), self.add(e, self.f32(1.0))?)?)?;
        let far = self.select(negative, self.unary(Unary::Neg, far)?, far)?;
        let small = self.compare(Compare::Lt, size, self.f32(0.625))?;
        self.select(small, near, far)
    }

    /// cos 2πx = −sin 2πu with u = ¼ − |x − ½|, so |2πu| ≤ π/2: the Taylor polynomial of degree 13.
    fn cos_turn(&self, x: Value<'ctx>) -> Emit<Value<'ctx>> {
        let d = self.sub(x, self.f32(0.5))?;
        let negative = self.compare(Compare::Lt, d, self.f32(0.0))?;
        let d = self.select(negative, self.unary(Unary::Neg, d)?, d)?;
        let u = self.mul(self.sub(self.f32(0.25), d)?, self.f32(-std::f32::consts::TAU))?;
        let z = self.mul(u, u)?;
        let coefficients =
            [1.0 / 6_227_020_800.0, -1.0 / 39_916_800.0, 1.0 / 362_880.0, -1.0 / 5_040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0]
                .map(|c: f64| c as f32);
        self.mul(u, self.polynomial(z, &coefficients)?)
    }

    /// Philox4x32-10; equals [`netc_runtime::random::philox`].
    pub fn philox(&self, key: [Value<'ctx>; 2], counter: [Value<'ctx>; 4]) -> Emit<[Value<'ctx>; 4]> {
        let (mut key, mut c) = (key, counter);
        let i64_type = BasicTypeEnum::from(self.context.i64_type());
        let i32_type = BasicTypeEnum::from(self.context.i32_type());
        let wide = |multiplier: u64, x: Value<'ctx>| -> Emit<(Value<'ctx>, Value<'ctx>)> {
            let x = self.cast(InstructionOpcode::ZExt, x, i64_type)?;
            let product =
                self.op(InstructionOpcode::Mul, x, self.context.i64_type().const_int(multiplier, false).into())?;
            let high =
                self.op(InstructionOpcode::LShr, product, self.context.i64_type().const_int(32, false).into())?;
            Ok((
                self.cast(InstructionOpcode::Trunc, high, i32_type)?,
                self.cast(InstructionOpcode::Trunc, product, i32_type)?,
            ))
        };
        for _ in 0..10 {
            let (high0, low0) = wide(0xD251_1F53, c[0])?;
            let (high1, low1) = wide(0xCD9E_8D57, c[2])?;
            let xor = |a, b, k| self.op(InstructionOpcode::Xor, self.op(InstructionOpcode::Xor, a, b)?, k);
            c = [xor(high1, c[1], key[0])?, low1, xor(high0, c[3], key[1])?, low0];
            key = [
                self.op(InstructionOpcode::Add, key[0], self.i32(0x9E37_79B9))?,
                self.op(InstructionOpcode::Add, key[1], self.i32(0xBB67_AE85))?,
            ];
        }
        Ok(c)
    }
}
