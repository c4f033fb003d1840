//! Builds kernels: fresh names, nested loops, loops over vectors with their remainder.

use super::{Access, Buffer, BufferId, DType, Expr, Index, Kernel, Local, LoopKind, Space, Stmt, Var};

/// A tensor in a global buffer as a schedule sees it: logical dimensions in the graph's order (N, C, H, W), each with
/// its distance in the buffer. Layout and padding (halo) of the buffer are in `strides` and `offset` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The buffer.
    pub buffer: BufferId,
    /// Sizes.
    pub dims: Vec<usize>,
    /// Elements between neighbours, by dimension.
    pub strides: Vec<usize>,
    /// Element at all-zero coordinates.
    pub offset: usize,
}

impl View {
    /// The element's index in the buffer; coordinates may lie in the halo (negative) where there is one.
    pub fn at(&self, coordinates: &[Index]) -> Index {
        assert_eq!(coordinates.len(), self.dims.len(), "one coordinate a dimension");
        let mut index = Index::Const(self.offset as i64);
        for (c, &stride) in coordinates.iter().zip(&self.strides) {
            index = c.clone() * stride as i64 + index;
        }
        index
    }

    /// Elements of the tensor (without halo).
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Builds one kernel.
pub struct Builder {
    kernel: Kernel,
    blocks: Vec<Vec<Stmt>>,
    /// f32 lanes of the target's vectors.
    pub lanes: usize,
}

impl Builder {
    /// An empty kernel for vectors of `lanes` f32.
    pub fn new(name: impl Into<String>, lanes: usize) -> Self {
        let kernel = Kernel { name: name.into(), buffers: Vec::new(), vars: Vec::new(), locals: 0, body: Vec::new() };
        Builder { kernel, blocks: vec![Vec::new()], lanes }
    }

    fn buffer(&mut self, name: impl Into<String>, dtype: DType, len: usize, space: Space) -> BufferId {
        let name = name.into();
        let taken = |name: &str| self.kernel.buffers.iter().any(|b| b.name == name);
        let name = match taken(&name) {
            false => name,
            true => (2..).map(|i| format!("{name}_{i}")).find(|n| !taken(n)).unwrap_or(name),
        };
        self.kernel.buffers.push(Buffer { name, dtype, len, space });
        BufferId(self.kernel.buffers.len() as u32 - 1)
    }

    /// Declares a global buffer; all globals come before scratch and registers.
    pub fn global(&mut self, name: impl Into<String>, dtype: DType, len: usize, access: Access) -> BufferId {
        self.buffer(name, dtype, len, Space::Global(access))
    }

    /// Declares a scratch buffer.
    pub fn scratch(&mut self, name: impl Into<String>, dtype: DType, len: usize) -> BufferId {
        self.buffer(name, dtype, len, Space::Scratch)
    }

    /// Declares f32 registers.
    pub fn registers(&mut self, name: impl Into<String>, len: usize) -> BufferId {
        self.buffer(name, DType::F32, len, Space::Register)
    }

    /// A loop; `body` gets the builder and the loop's variable.
    pub fn for_loop(
        &mut self,
        name: &str,
        begin: impl Into<Index>,
        end: impl Into<Index>,
        kind: LoopKind,
        body: impl FnOnce(&mut Builder, Index),
    ) {
        self.kernel.vars.push(name.to_owned());
        let var = Var(self.kernel.vars.len() as u32 - 1);
        self.blocks.push(Vec::new());
        body(self, Index::Var(var));
        let block = self.blocks.pop().unwrap_or_default();
        self.push(Stmt::For { var, begin: begin.into(), end: end.into(), kind, body: block });
    }

    /// A serial loop over 0..end.
    pub fn serial(&mut self, name: &str, end: impl Into<Index>, body: impl FnOnce(&mut Builder, Index)) {
        self.for_loop(name, 0usize, end, LoopKind::Serial, body);
    }

    /// The parallel loop over 0..end.
    pub fn parallel(&mut self, name: &str, end: usize, body: impl FnOnce(&mut Builder, Index)) {
        self.for_loop(name, 0usize, end, LoopKind::Parallel, body);
    }

    /// An unrolled loop over 0..end.
    pub fn unrolled(&mut self, name: &str, end: usize, body: impl FnOnce(&mut Builder, Index)) {
        self.for_loop(name, 0usize, end, LoopKind::Unrolled, body);
    }

    /// A vector loop over 0..lanes.
    pub fn vector(&mut self, name: &str, lanes: usize, body: impl FnOnce(&mut Builder, Index)) {
        self.for_loop(name, 0usize, lanes, LoopKind::Vector, body);
    }

    /// Covers 0..len by vectors of the target's width and one narrower vector for the rest. `body` is called once
    /// or twice and gets the element's index.
    pub fn vectors(&mut self, name: &str, len: usize, body: impl Fn(&mut Builder, Index)) {
        let lanes = self.lanes;
        let (whole, rest) = (len / lanes, len % lanes);
        if whole > 0 {
            self.serial(&format!("{name}_block"), whole, |b, block| {
                b.vector(name, lanes, |b, lane| body(b, block * lanes as i64 + lane));
            });
        }
        if rest > 0 {
            self.vector(&format!("{name}_rest"), rest, |b, lane| body(b, lane + whole * lanes));
        }
    }

    /// Binds a value.
    pub fn bind(&mut self, value: impl Into<Expr>) -> Expr {
        let local = Local(self.kernel.locals);
        self.kernel.locals += 1;
        self.push(Stmt::Let { local, value: value.into() });
        Expr::Local(local)
    }

    /// Writes an element.
    pub fn store(&mut self, buffer: BufferId, index: impl Into<Index>, value: impl Into<Expr>) {
        self.push(Stmt::Store { buffer, index: index.into(), value: value.into() });
    }

    /// Asks for the cache line of an element.
    pub fn prefetch(&mut self, buffer: BufferId, index: impl Into<Index>) {
        self.push(Stmt::Prefetch { buffer, index: index.into() });
    }

    /// Appends a statement.
    pub fn push(&mut self, stmt: Stmt) {
        if let Some(block) = self.blocks.last_mut() {
            block.push(stmt);
        }
    }

    /// The finished kernel.
    pub fn finish(mut self) -> Kernel {
        self.kernel.body = self.blocks.pop().unwrap_or_default();
        self.kernel
    }
}
