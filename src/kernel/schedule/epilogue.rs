//! What happens to an element of a result before it is stored, to the bit what the operations would do by themselves.

use super::Tensor;
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, Binary, Compare, Expr, Index};
use crate::plan::{Epilogue, Reach};

/// The steps of an epilogue, and the tensors that they read, in order.
#[derive(Debug, Clone, Copy)]
pub struct Then<'a> {
    /// What is done.
    pub steps: &'a [Epilogue],
    /// What it reads.
    pub operands: &'a [Tensor],
}

impl Then<'_> {
    /// Nothing happens.
    pub const NOTHING: Then<'static> = Then { steps: &[], operands: &[] };

    /// Declares the operands of the epilogue of a result of this shape.
    pub(super) fn declare(&self, b: &mut Builder, dims: &[usize]) -> Finish {
        let tensors = self.over(dims);
        let views = tensors.iter().map(|(name, tensor)| tensor.declare(b, name, Access::Read)).collect();
        Finish { steps: self.steps.to_vec(), views }
    }

    /// The operands, with their names, over the shape of the result.
    pub(super) fn over(&self, dims: &[usize]) -> Vec<(&'static str, Tensor)> {
        let mut operands = self.operands.iter();
        let wanted = self.steps.iter().flat_map(|step| step.operands());
        wanted
            .map(|(name, reach)| {
                let Some(tensor) = operands.next() else {
                    panic!("bug in netc: the epilogue {:?} lacks an operand", self.steps);
                };
                let mut over = match reach {
                    Reach::Channel => tensor.by_channel(dims),
                    Reach::Element => tensor.clone(),
                };
                over.dims.resize(dims.len(), 1);
                over.strides.resize(dims.len(), 0);
                (*name, over)
            })
            .collect()
    }

    /// What becomes of a value, given the elements of the operands in its place.
    pub(super) fn of(&self, value: Expr, elements: impl IntoIterator<Item = Expr>) -> Expr {
        let mut elements = elements.into_iter();
        let mut next = || match elements.next() {
            Some(element) => element,
            None => panic!("bug in netc: the epilogue {:?} lacks an element", self.steps),
        };
        self.steps.iter().fold(value, |value, step| match step {
            Epilogue::Bias | Epilogue::Add => value + next(),
            Epilogue::Normalize => normalized(value, [next(), next(), next()]),
            // Of a maximum with NaN the second operand is the result.
            Epilogue::Relu => Expr::F32(0.0).binary(Binary::Max, value),
            Epilogue::ReluMask => masked(value, next()),
        })
    }
}

/// A declared epilogue.
#[derive(Debug, Clone)]
pub(super) struct Finish {
    steps: Vec<Epilogue>,
    /// What is read, over the shape of the result.
    pub views: Vec<View>,
}

impl Finish {
    /// What becomes of the value at `coordinates`.
    pub fn at(&self, value: Expr, coordinates: &[Index]) -> Expr {
        self.of(value, self.views.iter().map(|view| Expr::load(view.buffer, view.at(coordinates))))
    }

    /// What becomes of a value, given the elements of the operands in its place.
    pub fn of(&self, value: Expr, elements: impl IntoIterator<Item = Expr>) -> Expr {
        Then { steps: &self.steps, operands: &[] }.of(value, elements)
    }
}

/// (x − mean)·scale + shift.
pub(super) fn normalized(x: Expr, [mean, scale, shift]: [Expr; 3]) -> Expr {
    (x - mean) * scale + shift
}

/// The value where `y` is positive, else 0.
pub(super) fn masked(value: Expr, y: Expr) -> Expr {
    y.compare(Compare::Gt, 0.0.into()).select(value, 0.0.into())
}
