//! One LLVM function a kernel: loops become blocks and phis, vector loops become vectors, registers become
//! allocations that LLVM's SROA pass splits into vector registers.

#![allow(unsafe_code, reason = "LLVM's address arithmetic is unchecked")]

use super::math::Math;
use crate::kernel::{Access, BufferId, Compare, DType, Expr, Index, Kernel, LoopKind, Space, Stmt, Var};
use crate::target::Target;
use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::builder::BuilderError;
use inkwell::context::Context;
use inkwell::module::{Linkage, Module};
use inkwell::types::{BasicMetadataTypeEnum, BasicType, BasicTypeEnum};
use inkwell::values::{
    BasicMetadataValueEnum, BasicValue, BasicValueEnum, FunctionValue, InstructionOpcode, IntValue, PointerValue,
};
use inkwell::{AddressSpace, GlobalVisibility, IntPredicate};

type Emit<T> = Result<T, BuilderError>;

/// The signature of a kernel body: its global buffers, the scratch block, and the range of its parallel loop.
pub(super) fn declare<'ctx>(
    context: &'ctx Context,
    module: &Module<'ctx>,
    name: &str,
    globals: usize,
) -> FunctionValue<'ctx> {
    let pointer = BasicMetadataTypeEnum::from(context.ptr_type(AddressSpace::default()));
    let i64_type = BasicMetadataTypeEnum::from(context.i64_type());
    let mut params = vec![pointer; globals + 1];
    params.extend([i64_type, i64_type]);
    let function = module.add_function(name, context.void_type().fn_type(&params, false), Some(Linkage::External));
    function.as_global_value().set_visibility(GlobalVisibility::Hidden);
    function
}

/// Marks a function as code for `target`.
pub(super) fn attribute_target<'ctx>(context: &'ctx Context, function: FunctionValue<'ctx>, target: &Target) {
    let width = (target.lanes * 32).to_string();
    for (key, value) in [
        ("target-cpu", target.cpu.as_str()),
        ("target-features", target.features.as_str()),
        ("prefer-vector-width", width.as_str()),
        ("min-legal-vector-width", width.as_str()),
    ] {
        function.add_attribute(AttributeLoc::Function, context.create_string_attribute(key, value));
    }
    let nounwind = Attribute::get_named_enum_kind_id("nounwind");
    function.add_attribute(AttributeLoc::Function, context.create_enum_attribute(nounwind, 0));
}

/// Says of the first parameters, the global buffers and the scratch block, that they do not overlap.
fn attribute_buffers<'ctx>(context: &'ctx Context, function: FunctionValue<'ctx>, globals: usize) {
    let noalias = Attribute::get_named_enum_kind_id("noalias");
    for i in 0..=globals as u32 {
        function.add_attribute(AttributeLoc::Param(i), context.create_enum_attribute(noalias, 0));
    }
}

/// Emits `kernel` as the function `name`.
pub(super) fn emit<'ctx>(context: &'ctx Context, module: &Module<'ctx>, name: &str, kernel: &Kernel, target: &Target) {
    if let Err(error) = try_emit(context, module, name, kernel, target) {
        panic!("bug in netc: cannot generate code for kernel {}: {error}", kernel.name);
    }
}

fn try_emit<'ctx>(
    context: &'ctx Context,
    module: &Module<'ctx>,
    name: &str,
    kernel: &Kernel,
    target: &Target,
) -> Emit<()> {
    let globals = kernel.buffers.iter().filter(|b| matches!(b.space, Space::Global(_))).count();
    let function = declare(context, module, name, globals);
    attribute_target(context, function, target);
    attribute_buffers(context, function, globals);
    let builder = context.create_builder();
    builder.position_at_end(context.append_basic_block(function, "entry"));
    let math = Math { context, module, builder: &builder };
    let zero = context.i64_type().const_zero();
    let range = [1, 2].map(|k| function.get_nth_param(globals as u32 + k).map_or(zero, |p| p.into_int_value()));
    let mut body = Body {
        kernel,
        target,
        function,
        pointers: pointers(kernel, function, &math)?,
        math,
        vars: vec![zero; kernel.vars.len()],
        scope: Vec::new(),
        phases: 0,
        locals: vec![None; kernel.locals as usize],
        lane: None,
        range,
    };
    body.block(&kernel.body)?;
    builder.build_return(None)?;
    Ok(())
}

/// The address of each buffer in `function`, whose first parameters are the global buffers and the scratch block.
fn pointers<'ctx>(
    kernel: &Kernel,
    function: FunctionValue<'ctx>,
    math: &Math<'_, 'ctx>,
) -> Emit<Vec<PointerValue<'ctx>>> {
    let Math { context, builder, .. } = *math;
    let globals = kernel.buffers.iter().filter(|b| matches!(b.space, Space::Global(_))).count();
    let scratch = function.get_nth_param(globals as u32).map(BasicValueEnum::into_pointer_value);
    let mut scratch_offset = 0u64;
    let mut pointers = Vec::new();
    for (i, buffer) in kernel.buffers.iter().enumerate() {
        let pointer = match buffer.space {
            Space::Global(_) => function.get_nth_param(i as u32).map(BasicValueEnum::into_pointer_value),
            Space::Scratch => {
                let offset = context.i64_type().const_int(scratch_offset, false);
                scratch_offset += buffer.aligned_bytes() as u64;
                match scratch {
                    Some(base) => {
                        // SAFETY: the caller's scratch block is at least `scratch_bytes` long, so the address is in it.
                        let address = unsafe { builder.build_in_bounds_gep(context.i8_type(), base, &[offset], "") };
                        Some(address?)
                    }
                    None => None,
                }
            }
            Space::Register => {
                let array = context.f32_type().array_type(buffer.len as u32);
                let pointer = builder.build_alloca(array, &buffer.name)?;
                if let Some(instruction) = pointer.as_instruction_value() {
                    let _ = instruction.set_alignment(64);
                }
                Some(pointer)
            }
        };
        pointers.push(pointer.unwrap_or_else(|| panic!("bug in netc: kernel {} has no {}", kernel.name, buffer.name)));
    }
    Ok(pointers)
}

/// Whether loops that stand one after the other share no register, and only some of them use any: a product between
/// transforms of its operands and its result.
fn are_phases(kernel: &Kernel, statements: &[Stmt]) -> bool {
    let mut used: Vec<Vec<BufferId>> = Vec::new();
    for statement in statements {
        if !matches!(statement, Stmt::For { kind: LoopKind::Serial, .. }) {
            return false;
        }
        let mut registers = Vec::new();
        statement.each_buffer(&mut |id| {
            if kernel.buffers[id.0 as usize].space == Space::Register && !registers.contains(&id) {
                registers.push(id);
            }
        });
        used.push(registers);
    }
    let apart = |(i, own): (usize, &Vec<BufferId>)| used[..i].iter().flatten().all(|id| !own.contains(id));
    used.iter().any(Vec::is_empty) && !used.iter().all(Vec::is_empty) && used.iter().enumerate().all(apart)
}

struct Body<'a, 'ctx> {
    kernel: &'a Kernel,
    target: &'a Target,
    function: FunctionValue<'ctx>,
    math: Math<'a, 'ctx>,
    /// Address of each buffer.
    pointers: Vec<PointerValue<'ctx>>,
    /// Present value of each loop variable; of a vector loop's, its first lane.
    vars: Vec<IntValue<'ctx>>,
    /// The variables of the enclosing loops that are not expanded.
    scope: Vec<Var>,
    /// How many phases of this function have become functions of their own.
    phases: usize,
    locals: Vec<Option<BasicValueEnum<'ctx>>>,
    /// The enclosing vector loop and its lanes.
    lane: Option<(Var, u32)>,
    /// Range of the parallel loop.
    range: [IntValue<'ctx>; 2],
}

impl<'ctx> Body<'_, 'ctx> {
    fn block(&mut self, statements: &[Stmt]) -> Emit<()> {
        if self.locals.iter().all(Option::is_none) && are_phases(self.kernel, statements) {
            let count = self.phases;
            self.phases += statements.len();
            return statements.iter().enumerate().try_for_each(|(i, phase)| self.phase(count + i, phase));
        }
        for statement in statements {
            match statement {
                Stmt::For { var, begin, end, kind, body } => self.for_loop(*var, begin, end, *kind, body)?,
                Stmt::Let { local, value } => {
                    let value = self.value(value)?;
                    self.locals[local.0 as usize] = Some(value);
                }
                Stmt::Store { buffer, index, value } => self.store(*buffer, index, value)?,
                Stmt::Prefetch { buffer, index } => {
                    let index = self.index(index)?;
                    let (element, _) = self.element(*buffer);
                    let base = self.pointers[buffer.0 as usize];
                    // SAFETY: the address may lie outside of the buffer and is never read from: it is not said to be
                    // in bounds.
                    let address = unsafe { self.math.builder.build_gep(element, base, &[index], "") }?;
                    let read = self.kernel.buffers[buffer.0 as usize].space == Space::Global(Access::Read);
                    self.math.prefetch(address, read)?;
                }
            }
        }
        Ok(())
    }

    /// Emits a loop as a function and calls it. In one function, LLVM keeps the constants of one phase in registers
    /// throughout the loops of the others, and spills their sums for want of registers.
    fn phase(&mut self, number: usize, phase: &Stmt) -> Emit<()> {
        let Math { context, module, builder } = self.math;
        let globals = self.kernel.buffers.iter().filter(|b| matches!(b.space, Space::Global(_))).count();
        let pointer = BasicMetadataTypeEnum::from(context.ptr_type(AddressSpace::default()));
        let mut params = vec![pointer; globals + 1];
        params.extend(self.scope.iter().map(|_| BasicMetadataTypeEnum::from(context.i64_type())));
        let name = format!("{}_phase{number}", self.function.get_name().to_string_lossy());
        let ty = context.void_type().fn_type(&params, false);
        let function = module.add_function(&name, ty, Some(Linkage::Internal));
        attribute_target(context, function, self.target);
        let noinline = Attribute::get_named_enum_kind_id("noinline");
        function.add_attribute(AttributeLoc::Function, context.create_enum_attribute(noinline, 0));
        attribute_buffers(context, function, globals);

        let Some(caller) = builder.get_insert_block() else { return Err(BuilderError::UnsetPosition) };
        let pointers_here = self.function.get_params().into_iter().take(globals + 1);
        let vars_here = self.scope.iter().map(|var| self.vars[var.0 as usize].into());
        let arguments: Vec<BasicMetadataValueEnum> = pointers_here.map(Into::into).chain(vars_here).collect();
        builder.build_call(function, &arguments, "")?;

        builder.position_at_end(context.append_basic_block(function, "entry"));
        let mut vars = vec![context.i64_type().const_zero(); self.kernel.vars.len()];
        for (var, param) in self.scope.iter().zip(function.get_param_iter().skip(globals + 1)) {
            vars[var.0 as usize] = param.into_int_value();
        }
        let mut body = Body {
            kernel: self.kernel,
            target: self.target,
            function,
            pointers: pointers(self.kernel, function, &self.math)?,
            math: self.math,
            vars,
            scope: self.scope.clone(),
            phases: 0,
            locals: self.locals.iter().map(|_| None).collect(),
            lane: None,
            range: self.range,
        };
        body.block(std::slice::from_ref(phase))?;
        builder.build_return(None)?;
        builder.position_at_end(caller);
        Ok(())
    }

    fn for_loop(&mut self, var: Var, begin: &Index, end: &Index, kind: LoopKind, body: &[Stmt]) -> Emit<()> {
        match kind {
            LoopKind::Serial => {
                let (begin, end) = (self.index(begin)?, self.index(end)?);
                self.rolled(var, begin, end, body)
            }
            LoopKind::Parallel => {
                let [begin, end] = self.range;
                self.rolled(var, begin, end, body)
            }
            LoopKind::Unrolled => {
                let (begin, end) = (constant(begin), constant(end));
                for i in begin..end {
                    self.vars[var.0 as usize] = self.i64(i);
                    self.block(body)?;
                }
                Ok(())
            }
            LoopKind::Vector => {
                let lanes = constant(end) as u32;
                self.vars[var.0 as usize] = self.i64(0);
                if lanes > 1 {
                    self.lane = Some((var, lanes));
                }
                self.block(body)?;
                self.lane = None;
                Ok(())
            }
        }
    }

    fn rolled(&mut self, var: Var, begin: IntValue<'ctx>, end: IntValue<'ctx>, body: &[Stmt]) -> Emit<()> {
        let context = self.math.context;
        let name = self.kernel.vars[var.0 as usize].clone();
        let builder = self.math.builder;
        let Some(before) = builder.get_insert_block() else { return Err(BuilderError::UnsetPosition) };
        let inside = context.append_basic_block(self.function, &name);
        let after = context.append_basic_block(self.function, &format!("{name}_end"));
        let any = builder.build_int_compare(IntPredicate::SLT, begin, end, "")?;
        builder.build_conditional_branch(any, inside, after)?;
        builder.position_at_end(inside);
        let phi = builder.build_phi(context.i64_type(), &name)?;
        let value = phi.as_basic_value().into_int_value();
        self.vars[var.0 as usize] = value;
        self.scope.push(var);
        self.block(body)?;
        self.scope.pop();
        let next = builder.build_int_nsw_add(value, self.i64(1), "")?;
        let Some(last) = builder.get_insert_block() else { return Err(BuilderError::UnsetPosition) };
        phi.add_incoming(&[(&begin, before), (&next, last)]);
        let more = builder.build_int_compare(IntPredicate::SLT, next, end, "")?;
        builder.build_conditional_branch(more, inside, after)?;
        builder.position_at_end(after);
        Ok(())
    }

    fn i64(&self, value: i64) -> IntValue<'ctx> {
        self.math.context.i64_type().const_int(value as u64, true)
    }

    fn index(&self, index: &Index) -> Emit<IntValue<'ctx>> {
        let b = self.math.builder;
        Ok(match index {
            Index::Const(c) => self.i64(*c),
            Index::Var(v) => self.vars[v.0 as usize],
            Index::Add(x, y) => b.build_int_nsw_add(self.index(x)?, self.index(y)?, "")?,
            Index::Mul(x, f) => b.build_int_nsw_mul(self.index(x)?, self.i64(*f), "")?,
            Index::Div(x, d) => {
                let (quotient, _) = self.divide(self.index(x)?, *d)?;
                quotient
            }
            Index::Rem(x, d) => {
                let (_, remainder) = self.divide(self.index(x)?, *d)?;
                remainder
            }
            Index::Min(x, y) | Index::Max(x, y) => {
                let (x, y) = (self.index(x)?, self.index(y)?);
                let predicate = if matches!(index, Index::Min(..)) { IntPredicate::SLT } else { IntPredicate::SGT };
                let first = b.build_int_compare(predicate, x, y, "")?;
                b.build_select(first, x, y, "")?.into_int_value()
            }
        })
    }

    /// Quotient rounded down and its remainder, for a positive divisor.
    fn divide(&self, x: IntValue<'ctx>, divisor: i64) -> Emit<(IntValue<'ctx>, IntValue<'ctx>)> {
        let b = self.math.builder;
        let d = self.i64(divisor);
        let quotient = b.build_int_signed_div(x, d, "")?;
        let remainder = b.build_int_signed_rem(x, d, "")?;
        let negative = b.build_int_compare(IntPredicate::SLT, remainder, self.i64(0), "")?;
        let one_less = b.build_int_sub(quotient, self.i64(1), "")?;
        let positive = b.build_int_add(remainder, d, "")?;
        Ok((
            b.build_select(negative, one_less, quotient, "")?.into_int_value(),
            b.build_select(negative, positive, remainder, "")?.into_int_value(),
        ))
    }

    /// How an index moves over the lanes of the enclosing vector loop.
    fn stride(&self, index: &Index) -> (u32, Option<i64>) {
        match self.lane {
            None => (1, Some(0)),
            Some((var, lanes)) => (lanes, index.coefficient(var)),
        }
    }

    /// The index in each lane.
    fn lane_indices(&mut self, index: &Index) -> Emit<Vec<IntValue<'ctx>>> {
        let Some((var, lanes)) = self.lane else { return Ok(vec![self.index(index)?]) };
        let mut indices = Vec::new();
        for lane in 0..lanes {
            self.vars[var.0 as usize] = self.i64(i64::from(lane));
            indices.push(self.index(index)?);
        }
        self.vars[var.0 as usize] = self.i64(0);
        Ok(indices)
    }

    fn element(&self, buffer: BufferId) -> (BasicTypeEnum<'ctx>, u32) {
        let context = self.math.context;
        match self.kernel.buffers[buffer.0 as usize].dtype {
            DType::F32 => (context.f32_type().into(), 4),
            DType::I32 => (context.i32_type().into(), 4),
            DType::U8 => (context.i8_type().into(), 1),
        }
    }

    fn address(&self, buffer: BufferId, index: IntValue<'ctx>) -> Emit<PointerValue<'ctx>> {
        let (element, _) = self.element(buffer);
        let base = self.pointers[buffer.0 as usize];
        // SAFETY: the kernel verifier has shown that every index lies in its buffer.
        unsafe { self.math.builder.build_in_bounds_gep(element, base, &[index], "") }
    }

    fn load_at(&self, buffer: BufferId, index: IntValue<'ctx>, lanes: u32) -> Emit<BasicValueEnum<'ctx>> {
        let (element, bytes) = self.element(buffer);
        let address = self.address(buffer, index)?;
        let ty = if lanes > 1 { vector(element, lanes) } else { element };
        let value = self.math.builder.build_load(ty, address, "")?;
        if let Some(instruction) = value.as_instruction_value() {
            let _ = instruction.set_alignment(bytes);
        }
        if bytes == 1 {
            self.math.cast(InstructionOpcode::ZExt, value, self.math.context.i32_type().into())
        } else {
            Ok(value)
        }
    }

    fn load(&mut self, buffer: BufferId, index: &Index) -> Emit<BasicValueEnum<'ctx>> {
        match self.stride(index) {
            (_, Some(0)) => self.load_at(buffer, self.index(index)?, 1),
            (lanes, Some(1)) => self.load_at(buffer, self.index(index)?, lanes),
            _ => {
                let indices = self.lane_indices(index)?;
                let lanes = indices.into_iter().map(|i| self.load_at(buffer, i, 1)).collect::<Emit<Vec<_>>>()?;
                self.math.pack(&lanes)
            }
        }
    }

    fn gather(&mut self, buffer: BufferId, index: &Index, offset: &Expr) -> Emit<BasicValueEnum<'ctx>> {
        let offset = self.value(offset)?;
        let builder = self.math.builder;
        let i64_type = self.math.context.i64_type();
        if !offset.is_vector_value() && self.stride(index).1 == Some(0) {
            let offset = builder.build_int_s_extend(offset.into_int_value(), i64_type, "")?;
            let index = builder.build_int_add(self.index(index)?, offset, "")?;
            return self.load_at(buffer, index, 1);
        }
        let indices = self.lane_indices(index)?;
        let mut lanes = Vec::new();
        for (lane, index) in indices.into_iter().enumerate() {
            let offset = self.math.lane(offset, lane as u32)?.into_int_value();
            let offset = builder.build_int_s_extend(offset, i64_type, "")?;
            lanes.push(self.load_at(buffer, builder.build_int_add(index, offset, "")?, 1)?);
        }
        self.math.pack(&lanes)
    }

    fn store(&mut self, buffer: BufferId, index: &Index, value: &Expr) -> Emit<()> {
        let mut value = self.value(value)?;
        let (element, bytes) = self.element(buffer);
        if bytes == 1 {
            value = self.math.cast(InstructionOpcode::Trunc, value, element)?;
        }
        let put = |this: &Self, index: IntValue<'ctx>, value: BasicValueEnum<'ctx>| -> Emit<()> {
            let address = this.address(buffer, index)?;
            let store = this.math.builder.build_store(address, value)?;
            let _ = store.set_alignment(bytes);
            Ok(())
        };
        match self.stride(index) {
            (1, _) => put(self, self.index(index)?, value),
            (lanes, Some(1)) => {
                let value = self.math.spread(value, lanes)?;
                put(self, self.index(index)?, value)
            }
            _ => {
                for (lane, index) in self.lane_indices(index)?.into_iter().enumerate() {
                    put(self, index, self.math.lane(value, lane as u32)?)?;
                }
                Ok(())
            }
        }
    }

    fn value(&mut self, expr: &Expr) -> Emit<BasicValueEnum<'ctx>> {
        let context = self.math.context;
        Ok(match expr {
            Expr::F32(c) => context.f32_type().const_float(f64::from(*c)).into(),
            Expr::I32(c) => context.i32_type().const_int(*c as u32 as u64, false).into(),
            Expr::Local(local) => self.locals[local.0 as usize]
                .unwrap_or_else(|| panic!("bug in netc: kernel {} uses an unbound value", self.kernel.name)),
            Expr::Load(buffer, index) => self.load(*buffer, index)?,
            Expr::Gather(buffer, index, offset) => self.gather(*buffer, index, offset)?,
            Expr::Index(index) => {
                let builder = self.math.builder;
                let word = |i: IntValue<'ctx>| builder.build_int_truncate(i, context.i32_type(), "");
                match self.stride(index) {
                    (lanes, Some(step)) => self.math.ramp(word(self.index(index)?)?, step, lanes)?,
                    _ => {
                        let words = self.lane_indices(index)?.into_iter().map(|i| Ok(word(i)?.into()));
                        self.math.pack(&words.collect::<Emit<Vec<_>>>()?)?
                    }
                }
            }
            Expr::Unary(op, x) => {
                let x = self.value(x)?;
                self.math.unary(*op, x)?
            }
            Expr::Binary(op, x, y) => {
                let (x, y) = (self.value(x)?, self.value(y)?);
                self.math.binary(*op, x, y)?
            }
            Expr::MulAdd(x, y, z) => {
                let (x, y, z) = (self.value(x)?, self.value(y)?, self.value(z)?);
                self.math.mul_add(x, y, z)?
            }
            Expr::Compare(op, x, y) => {
                let (x, y) = (self.value(x)?, self.value(y)?);
                self.compare(*op, x, y)?
            }
            Expr::Select(condition, x, y) => {
                let (condition, x, y) = (self.value(condition)?, self.value(x)?, self.value(y)?);
                self.math.select(condition, x, y)?
            }
            Expr::Random { key, counter, word } => {
                let mut words = Vec::new();
                for part in key.iter().chain(counter.iter()) {
                    words.push(self.value(part)?);
                }
                self.math.philox([words[0], words[1]], [words[2], words[3], words[4], words[5]])?[usize::from(*word)]
            }
        })
    }

    fn compare(&self, op: Compare, x: BasicValueEnum<'ctx>, y: BasicValueEnum<'ctx>) -> Emit<BasicValueEnum<'ctx>> {
        self.math.compare(op, x, y)
    }
}

fn constant(index: &Index) -> i64 {
    match index {
        Index::Const(c) => *c,
        other => panic!("bug in netc: an unrolled or vector loop has the bound {other:?}"),
    }
}

/// The vector type of `lanes` elements.
pub(super) fn vector(element: BasicTypeEnum<'_>, lanes: u32) -> BasicTypeEnum<'_> {
    match element {
        BasicTypeEnum::FloatType(t) => t.vec_type(lanes).as_basic_type_enum(),
        BasicTypeEnum::IntType(t) => t.vec_type(lanes).as_basic_type_enum(),
        other => other,
    }
}
