//! From a plan to its kernels: every step's work to its schedule.

use super::schedule::{self, Followed, Tensor, Then};
use super::{BufferId, DType, Kernel};
use crate::graph;
use crate::plan::{Plan, Step, Work};
use crate::target::Target;

/// The kernels of a plan's steps, in order.
pub fn kernels(plan: &Plan, target: &Target) -> Vec<Kernel> {
    let operands = operands(plan);
    let mut kernels: Vec<Kernel> = Vec::with_capacity(plan.steps.len());
    for (i, step) in plan.steps.iter().enumerate() {
        kernels.push(match alike(plan, &operands, i) {
            Some(k) => Kernel { name: step.name.clone(), ..kernels[k].clone() },
            None => kernel(step, &operands[i], target),
        });
    }
    kernels
}

/// Bytes of scratch that the kernels of a plan need at most. Half of them are made on a thread of their own.
pub fn scratch_bytes(plan: &Plan, target: &Target) -> usize {
    let operands = operands(plan);
    let distinct: Vec<usize> = (0..plan.steps.len()).filter(|&i| alike(plan, &operands, i).is_none()).collect();
    let most = |start: usize| {
        let steps = distinct.iter().skip(start).step_by(2);
        steps.map(|&i| kernel(&plan.steps[i], &operands[i], target).scratch_bytes()).max().unwrap_or(0)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| most(1));
        most(0).max(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The last step before step `i` whose kernel is the same: the parts of a batch are done one after the other.
fn alike(plan: &Plan, operands: &[Operands], i: usize) -> Option<usize> {
    (0..i).rev().find(|&k| plan.steps[k].work == plan.steps[i].work && operands[k] == operands[i])
}

fn operands(plan: &Plan) -> Vec<Operands> {
    let tensors = |ids: &[crate::plan::BufferId]| ids.iter().map(|&b| tensor(plan, b)).collect::<Vec<_>>();
    let of = |step: &Step| Operands {
        inputs: tensors(&step.inputs),
        outputs: tensors(&step.outputs),
        in_place: step.outputs.iter().map(|id| step.inputs.iter().position(|input| input == id)).collect(),
    };
    plan.steps.iter().map(of).collect()
}

/// What a step works on.
#[derive(PartialEq)]
struct Operands {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// For each output, the input whose buffer it is.
    in_place: Vec<Option<usize>>,
}

fn kernel(step: &Step, operands: &Operands, target: &Target) -> Kernel {
    let Operands { inputs, outputs, in_place } = operands;
    let (lanes, name) = (target.lanes, step.name.as_str());
    let kernel = match (&step.work, &inputs[..], &outputs[..]) {
        (Work::Op(op), _, _) => schedule::op(op, lanes, name, inputs, outputs),
        (Work::Then { op, epilogue }, _, _) => {
            let reads = epilogue.iter().map(|step| step.operands().len()).sum();
            inputs.split_at_checked(inputs.len().saturating_sub(reads)).and_then(|(inputs, operands)| {
                schedule::op_then(op, lanes, name, Then { steps: epilogue, operands }, inputs, outputs)
            })
        }
        (Work::LrnMaxPool { lrn, pool, bands }, [x], [y, index @ ..]) => {
            Some(schedule::lrn_max_pool(lanes, name, lrn, pool, *bands, x, y, index.first()))
        }
        (Work::Copy, [x], [y]) => Some(schedule::copy(lanes, name, x, y)),
        (Work::CopyInto { start, .. }, [x], [y]) => {
            Some(schedule::copy(lanes, name, x, &y.channels(*start, x.dims[1])))
        }
        (Work::ClearHalo, [], [x]) => Some(schedule::fill_halo(lanes, name, x)),
        (Work::Conv(work), [x, weights, operands @ ..], [y]) => {
            Some(schedule::conv::conv(target, name, work, [x, weights, y], operands))
        }
        (Work::ConvInputGrad(work), [dy, weights, operands @ ..], [dx]) => {
            Some(schedule::conv_grad::conv_input_grad(target, name, work, [dy, weights, dx], operands))
        }
        (Work::ConvWeightGrad { geometry, tile, update }, [x, dy, operands @ ..], [_, ..]) => {
            let into = Followed { update: *update, operands, results: outputs };
            Some(schedule::conv_grad::conv_weight_grad(target, name, geometry, *tile, [x, dy], into))
        }
        (Work::PackWeights { groups, transposed, columns }, [weights], [_]) => {
            Some(schedule::pack::pack_weights(lanes, name, weights, *groups, *transposed, *columns))
        }
        (Work::TransformWeights { form, phases, transposed, tile }, [weights], [_]) => {
            Some(schedule::winograd::transform_weights(target, name, form, phases, *transposed, *tile, weights))
        }
        (Work::BatchNormScale { epsilon }, [gamma, variance], [scale]) => {
            Some(schedule::batch_norm_scale(lanes, name, *epsilon, gamma, variance, scale))
        }
        (Work::Polyphase { phases, before }, [x], [y]) => {
            Some(schedule::winograd::polyphase(lanes, name, phases, *before, x, y))
        }
        (Work::Winograd(work), [x, weights, operands @ ..], [y]) => {
            Some(schedule::winograd::conv(target, name, work, [x, weights, y], operands))
        }
        (Work::TransformImages { form, images }, [x], [points]) => {
            Some(schedule::winograd::transform_images(target, name, form, *images, x, points))
        }
        (Work::WinogradProduct(work), [points, weights, operands @ ..], [y]) => {
            Some(schedule::winograd::multiply(target, name, work, [points, weights, y], operands))
        }
        (Work::WinogradGradient { sums, tile, tiles }, [x, dy, before @ ..], [to]) => {
            let tensors = [x, dy, to];
            Some(schedule::winograd::gradient_product(target, name, sums, *tile, *tiles, before.first(), tensors))
        }
        (Work::WinogradGradientWeights { form, phases, sums, update }, [from, operands @ ..], [_, ..]) => {
            let into = Followed { update: *update, operands, results: outputs };
            Some(schedule::winograd::gradient_weights(target, name, form, phases, sums, from, into))
        }
        (Work::PackMatrix { transposed, columns }, [matrix], [_]) => {
            Some(schedule::pack::pack_matrix(lanes, name, matrix, *transposed, *columns))
        }
        (Work::MatMul(work), [left, right, operands @ ..], [_, ..]) => {
            Some(schedule::matmul::matmul(target, name, work, [left, right], operands, outputs))
        }
        _ => None,
    };
    let Some(mut kernel) = kernel else {
        panic!("bug in netc: step {name} has the wrong operands for {:?}", step.work)
    };
    // Results written in place are the operand's buffer.
    let mut at = step.inputs.len();
    for input in in_place {
        match *input {
            Some(input) => kernel = schedule::share(kernel, BufferId(input as u32), BufferId(at as u32)),
            None => at += 1,
        }
    }
    kernel
}

fn tensor(plan: &Plan, id: crate::plan::BufferId) -> Tensor {
    let buffer = &plan.buffers[id.0 as usize];
    let dtype = match buffer.dtype {
        graph::DType::F32 => DType::F32,
        graph::DType::I32 => DType::I32,
        graph::DType::U8 => DType::U8,
    };
    Tensor { dtype, len: buffer.len(), dims: buffer.dims.clone(), strides: buffer.strides(), offset: buffer.offset() }
}
