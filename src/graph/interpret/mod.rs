//! The slow and obvious interpreter: the oracle of all that comes after the graph.
//!
//! Every operation computes in double precision, element by element, sums in the order in which one would write them
//! down, and rounds each element of its results once to the [`Precision`] asked for. In double precision it judges
//! gradients; in single precision it judges compiled code. No operation is fused, tiled or reordered here.

mod batchnorm;
mod conv;
mod dispatch;
mod loss;
mod lrn;
mod pool;
mod random;
mod update;

use super::{Bug, DType, Graph, Type, ValueId};

/// What results are rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// IEEE single, as compiled code.
    Single,
    /// IEEE double.
    Double,
}

/// A tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Sizes.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Data,
}

/// Elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// [`DType::F32`]; exact singles where the precision is [`Precision::Single`].
    Real(Vec<f64>),
    /// [`DType::I32`].
    I32(Vec<i32>),
    /// [`DType::U8`].
    U8(Vec<u8>),
}

impl Tensor {
    /// Floating-point elements.
    pub fn real(shape: impl Into<Vec<usize>>, data: Vec<f64>) -> Self {
        Tensor { shape: shape.into(), data: Data::Real(data) }
    }

    /// Single-precision elements.
    pub fn f32(shape: impl Into<Vec<usize>>, data: &[f32]) -> Self {
        Tensor::real(shape, data.iter().map(|&x| f64::from(x)).collect())
    }

    /// Integers.
    pub fn i32(shape: impl Into<Vec<usize>>, data: Vec<i32>) -> Self {
        Tensor { shape: shape.into(), data: Data::I32(data) }
    }

    /// Bytes.
    pub fn u8(shape: impl Into<Vec<usize>>, data: Vec<u8>) -> Self {
        Tensor { shape: shape.into(), data: Data::U8(data) }
    }

    /// Its type.
    pub fn of_type(&self) -> Type {
        let dtype = match self.data {
            Data::Real(_) => DType::F32,
            Data::I32(_) => DType::I32,
            Data::U8(_) => DType::U8,
        };
        Type { dtype, shape: self.shape.clone() }
    }

    /// The floating-point elements; empty for other types.
    pub fn as_real(&self) -> &[f64] {
        match &self.data {
            Data::Real(data) => data,
            Data::I32(_) | Data::U8(_) => &[],
        }
    }

    /// The integers; empty for other types.
    pub fn as_i32(&self) -> &[i32] {
        match &self.data {
            Data::I32(data) => data,
            Data::Real(_) | Data::U8(_) => &[],
        }
    }

    /// The bytes; empty for other types.
    pub fn as_u8(&self) -> &[u8] {
        match &self.data {
            Data::U8(data) => data,
            Data::Real(_) | Data::I32(_) => &[],
        }
    }

    /// The floating-point elements rounded to single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        self.as_real().iter().map(|&x| x as f32).collect()
    }

    fn len(&self) -> usize {
        match &self.data {
            Data::Real(data) => data.len(),
            Data::I32(data) => data.len(),
            Data::U8(data) => data.len(),
        }
    }

    fn round(&mut self, precision: Precision) {
        if let (Data::Real(data), Precision::Single) = (&mut self.data, precision) {
            data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        }
    }
}

/// What a function gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Outputs in the order of [`Graph::outputs`].
    pub outputs: Vec<Tensor>,
    /// All states after the updates.
    pub states: Vec<Tensor>,
}

/// Runs a function.
///
/// # Errors
/// If inputs or states are not of the graph's types, or a label is no class.
pub fn interpret(graph: &Graph, precision: Precision, inputs: &[Tensor], states: &[Tensor]) -> Result<Outcome, Bug> {
    let values = evaluate(graph, precision, inputs, states)?;
    let value = |v: ValueId| values[v.0 as usize].clone();
    let mut states = states.to_vec();
    for &(s, v) in &graph.updates {
        states[s.0 as usize] = value(v);
    }
    Ok(Outcome { outputs: graph.outputs.iter().map(|&(_, v)| value(v)).collect(), states })
}

/// Every value of a function, by [`ValueId`].
///
/// # Errors
/// As [`interpret`].
pub fn evaluate(graph: &Graph, precision: Precision, inputs: &[Tensor], states: &[Tensor]) -> Result<Vec<Tensor>, Bug> {
    super::verify(graph)?;
    if inputs.len() != graph.inputs.len() || states.len() != graph.states.len() {
        return Err(Bug(format!(
            "{} inputs and {} states for a function of {} and {}",
            inputs.len(),
            states.len(),
            graph.inputs.len(),
            graph.states.len()
        )));
    }
    for (state, tensor) in graph.states.iter().zip(states) {
        fits(&state.name, tensor, &Type::f32(state.shape.clone()))?;
    }
    let mut values: Vec<Tensor> = Vec::with_capacity(graph.values.len());
    for &v in &graph.inputs {
        let (value, tensor) = (graph.value(v), &inputs[values.len()]);
        fits(&value.name, tensor, &value.into())?;
        values.push(tensor.clone());
    }
    let read = graph.states.iter().zip(states).filter(|(state, _)| state.value.is_some());
    values.extend(read.map(|(_, tensor)| tensor.clone()));
    values.iter_mut().for_each(|tensor| tensor.round(precision));
    // Values are numbered in order of definition, so the results of a node stand together.
    for node in &graph.nodes {
        let operands: Vec<&Tensor> = node.inputs.iter().map(|v| &values[v.0 as usize]).collect();
        let types: Vec<Type> = node.outputs.iter().map(|&v| graph.value(v).into()).collect();
        let mut results = dispatch::apply(&node.op, &operands, &types)?;
        results.truncate(types.len());
        results.iter_mut().for_each(|tensor| tensor.round(precision));
        values.append(&mut results);
    }
    Ok(values)
}

fn fits(name: &str, tensor: &Tensor, want: &Type) -> Result<(), Bug> {
    let got = tensor.of_type();
    if got == *want && tensor.len() == want.shape.iter().product::<usize>() {
        return Ok(());
    }
    Err(Bug(format!("{name} is {got} with {} elements, not {want}", tensor.len())))
}
