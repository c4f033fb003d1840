//! Entry points: from the caller's context to the kernels' bodies.
//!
//! For every step there is a *region* (addresses from the context, then the body; the signature of
//! [`netc_runtime::program::ParallelBody`]) and an entry point that runs it, in parallel if the kernel has a parallel loop; for every
//! function there is an entry point that runs its steps in order. There are many, each runs in no time and has nothing in it
//! that could be made better: LLVM does not optimise them.

#![allow(unsafe_code, reason = "LLVM's address arithmetic is unchecked")]

use super::{Function, body, symbol};
use crate::kernel::{Index, Kernel, LoopKind, Stmt};
use crate::plan::{Place, Plan, Step};
use crate::target::Target;
use inkwell::builder::{Builder, BuilderError};
use inkwell::context::Context;
use inkwell::module::{Linkage, Module};
use inkwell::values::{BasicMetadataValueEnum, FunctionValue, PointerValue};
use inkwell::{AddressSpace, GlobalVisibility};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

type Emit<T> = Result<T, BuilderError>;

// Byte offsets in `netc_runtime::program::Context` on 64-bit machines.
const ARENA: u64 = 0;
const STATE: u64 = 8;
const SCRATCH: u64 = 16;
const PORTS: u64 = 32;
const PARALLEL_FOR: u64 = 40;
const POOL: u64 = 48;

/// The symbol of the manifest in every library.
const MANIFEST: &str = "netc_manifest";

pub(super) fn emit<'ctx>(
    context: &'ctx Context,
    module: &Module<'ctx>,
    network: &str,
    functions: &[Function],
    names: &[Vec<String>],
    manifest: &str,
    target: &Target,
) {
    let emitter = Emitter { context, module, builder: context.create_builder(), target };
    for (function, names) in functions.iter().zip(names) {
        if let Err(error) = emitter.function(network, function, names) {
            panic!("bug in netc: cannot generate the entry point {}: {error}", function.plan.function);
        }
    }
    let text = context.const_string(manifest.as_bytes(), true);
    let name = symbol(network, "manifest");
    let global = module.add_global(text.get_type(), None, &name);
    global.set_initializer(&text);
    global.set_constant(true);
    if name != MANIFEST {
        // The name by which a library's manifest is found. Weak: several programs may be linked into one.
        module.set_inline_assembly(&format!(".weak {MANIFEST}\n.set {MANIFEST}, {name}\n"));
    }
}

/// The symbol of a step's entry point.
pub(crate) fn step_symbol(network: &str, plan: &Plan, step: &Step) -> String {
    format!("{}_{}", symbol(network, &plan.function), step.name)
}

struct Emitter<'a, 'ctx> {
    context: &'ctx Context,
    module: &'a Module<'ctx>,
    builder: Builder<'ctx>,
    target: &'a Target,
}

impl<'ctx> Emitter<'_, 'ctx> {
    fn function(&self, network: &str, function: &Function, names: &[String]) -> Emit<()> {
        let mut steps = Vec::new();
        let mut order = BTreeMap::new();
        for ((step, kernel), name) in function.plan.steps.iter().zip(function.kernels).zip(names) {
            let symbol = step_symbol(network, function.plan, step);
            let region = self.region(&symbol, function.plan, step, kernel, name)?;
            steps.push(self.step(&symbol, kernel, region)?);
            order.insert(symbol, ());
        }
        assert_eq!(order.len(), steps.len(), "bug in netc: two steps of one name");
        let entry = self.entry_point(&symbol(network, &function.plan.function));
        let Some(argument) = entry.get_nth_param(0) else { return Err(BuilderError::UnsetPosition) };
        for step in steps {
            self.builder.build_call(step, &[argument.into()], "")?;
        }
        self.builder.build_return(Some(&self.context.i32_type().const_zero()))?;
        Ok(())
    }

    /// An exported function `int32_t name(const netc_context *)`, with the builder in it.
    fn entry_point(&self, name: &str) -> FunctionValue<'ctx> {
        let pointer = self.context.ptr_type(AddressSpace::default());
        let ty = self.context.i32_type().fn_type(&[pointer.into()], false);
        let function = self.module.add_function(name, ty, Some(Linkage::External));
        body::attribute_target(self.context, function, self.target);
        self.builder.position_at_end(self.context.append_basic_block(function, "entry"));
        function
    }

    fn at(&self, base: PointerValue<'ctx>, offset: u64) -> Emit<PointerValue<'ctx>> {
        let offset = self.context.i64_type().const_int(offset, false);
        // SAFETY: offsets are those of the context's fields, its ports, or of a buffer within its block.
        unsafe { self.builder.build_in_bounds_gep(self.context.i8_type(), base, &[offset], "") }
    }

    fn pointer_at(&self, base: PointerValue<'ctx>, offset: u64) -> Emit<PointerValue<'ctx>> {
        let pointer = self.context.ptr_type(AddressSpace::default());
        Ok(self.builder.build_load(pointer, self.at(base, offset)?, "")?.into_pointer_value())
    }

    fn region(&self, symbol: &str, plan: &Plan, step: &Step, kernel: &Kernel, name: &str) -> Emit<FunctionValue<'ctx>> {
        let pointer = self.context.ptr_type(AddressSpace::default());
        let i64_type = self.context.i64_type();
        let ty = self
            .context
            .void_type()
            .fn_type(&[pointer.into(), pointer.into(), i64_type.into(), i64_type.into()], false);
        let region = self.module.add_function(&format!("{symbol}_region"), ty, Some(Linkage::Internal));
        body::attribute_target(self.context, region, self.target);
        self.builder.position_at_end(self.context.append_basic_block(region, "entry"));
        let params = region.get_params();
        let base = params[0].into_pointer_value();
        let operands = step.operands();
        let mut blocks = BTreeMap::new();
        let mut block = |field: u64| -> Emit<PointerValue<'ctx>> {
            Ok(match blocks.entry(field) {
                Entry::Occupied(loaded) => *loaded.get(),
                Entry::Vacant(new) => *new.insert(self.pointer_at(base, field)?),
            })
        };
        let mut arguments = Vec::new();
        for &operand in &operands {
            let buffer = &plan.buffers[operand.0 as usize];
            let address = match buffer.place {
                Place::Arena(offset) => self.at(block(ARENA)?, offset as u64)?,
                Place::State(offset) => self.at(block(STATE)?, offset as u64)?,
                Place::Port(port) => {
                    let port = self.pointer_at(block(PORTS)?, 8 * port as u64)?;
                    self.at(port, buffer.part_of.map_or(0, |part| part.bytes as u64))?
                }
            };
            arguments.push(address.into());
        }
        arguments.extend(params[1..].iter().map(|&p| BasicMetadataValueEnum::from(p)));
        let globals = kernel.buffers.iter().filter(|b| matches!(b.space, crate::kernel::Space::Global(_))).count();
        assert_eq!(globals, operands.len(), "bug in netc: kernel {} does not fit step {}", kernel.name, step.name);
        let callee =
            self.module.get_function(name).unwrap_or_else(|| body::declare(self.context, self.module, name, globals));
        self.builder.build_call(callee, &arguments, "")?;
        self.builder.build_return(None)?;
        Ok(region)
    }

    fn step(&self, symbol: &str, kernel: &Kernel, region: FunctionValue<'ctx>) -> Emit<FunctionValue<'ctx>> {
        let step = self.entry_point(symbol);
        let Some(argument) = step.get_nth_param(0) else { return Err(BuilderError::UnsetPosition) };
        let base = argument.into_pointer_value();
        let i64_type = self.context.i64_type();
        let pointer = self.context.ptr_type(AddressSpace::default());
        let serial = self.context.append_basic_block(step, "serial");
        let done = self.context.append_basic_block(step, "done");
        let count = match kernel.body.as_slice() {
            [Stmt::For { kind: LoopKind::Parallel, end: Index::Const(count), .. }] => *count,
            _ => 1,
        };
        let count_value = i64_type.const_int(count as u64, false);
        if count > 1 {
            let parallel = self.context.append_basic_block(step, "parallel");
            let call = self.pointer_at(base, PARALLEL_FOR)?;
            let none = self.builder.build_is_null(call, "")?;
            self.builder.build_conditional_branch(none, serial, parallel)?;
            self.builder.position_at_end(parallel);
            let ty = self
                .context
                .void_type()
                .fn_type(&[pointer.into(), pointer.into(), i64_type.into(), pointer.into()], false);
            let pool = self.pointer_at(base, POOL)?;
            let body = region.as_global_value().as_pointer_value();
            self.builder.build_indirect_call(
                ty,
                call,
                &[pool.into(), base.into(), count_value.into(), body.into()],
                "",
            )?;
            self.builder.build_unconditional_branch(done)?;
        } else {
            self.builder.build_unconditional_branch(serial)?;
        }
        self.builder.position_at_end(serial);
        let scratch = self.pointer_at(base, SCRATCH)?;
        let zero = i64_type.const_zero();
        self.builder.build_call(region, &[base.into(), scratch.into(), zero.into(), count_value.into()], "")?;
        self.builder.build_unconditional_branch(done)?;
        self.builder.position_at_end(done);
        self.builder.build_return(Some(&self.context.i32_type().const_zero()))?;
        step.as_global_value().set_visibility(GlobalVisibility::Default);
        Ok(step)
    }
}
