//! What happens to an element of a result before it is stored, to the bit what the operations would do by themselves, and
//! where it goes.

use super::Tensor;
use super::update::{step, updated};
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, Binary, Compare, Expr, Index};
use crate::plan::{Epilogue, Update};

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
                let mut over = tensor.reached(*reach, dims);
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

/// The results of a gradient: itself or, with an update, the states that follow it at once.
#[derive(Debug, Clone, Copy)]
pub struct Followed<'a> {
    /// The update.
    pub update: Option<Update>,
    /// What it reads.
    pub operands: &'a [Tensor],
    /// Results.
    pub results: &'a [Tensor],
}

/// Where a result goes: into a tensor or, being a gradient, into the states that follow it at once.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    update: Option<Update>,
    /// What the update reads, over the shape of the result.
    reads: Vec<View>,
    results: Vec<View>,
}

impl Destination {
    /// Declares what the update reads, then the results, all of one shape.
    pub fn declare(b: &mut Builder, update: Option<Update>, operands: &[Tensor], results: &[Tensor]) -> Destination {
        let names = update.iter().flat_map(|update| update.operands()).zip(operands);
        let dims = results.first().map_or(&[][..], |result| &result.dims);
        let reads = names.map(|((name, reach), x)| x.reached(*reach, dims).declare(b, name, Access::Read)).collect();
        let names: Vec<String> = match &update {
            Some(update) => update.states().map(updated).collect(),
            None => vec!["y".to_owned()],
        };
        let results = names.iter().zip(results).map(|(name, y)| y.declare(b, name, Access::Write)).collect();
        Destination { update, reads, results }
    }

    /// The states that an update changes.
    pub fn states(&self) -> &[View] {
        &self.reads[..if self.update.is_some() { self.results.len() } else { 0 }]
    }

    /// Stores the value at `coordinates`, or what follows from it.
    pub fn store(&self, b: &mut Builder, value: Expr, coordinates: &[Index]) {
        let values = match &self.update {
            None => vec![value],
            Some(update) => {
                let g = b.bind(value);
                let reads = self.reads.iter().map(|x| b.bind(Expr::load(x.buffer, x.at(coordinates))));
                let reads: Vec<Expr> = reads.collect();
                step(b, update, g, &reads)
            }
        };
        for (result, value) in self.results.iter().zip(values) {
            b.store(result.buffer, result.at(coordinates), value);
        }
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
