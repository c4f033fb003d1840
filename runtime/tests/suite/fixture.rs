//! The program that the suite runs: softmax regression in C, compiled by `cc` for the shape a test asks for.

use netc_runtime::library::Program;
use netc_runtime::program::{
    CropInfo, DType, DecayInfo, Function, InputInfo, KernelInfo, Manifest, Port, PreprocessInfo, ResizeInfo,
    ScheduleInfo, StateInfo, StateRole, TrainInfo, VERSION,
};
use netc_runtime::session::Session;
use netc_runtime::threads::Pool;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// What to build.
#[derive(Clone)]
pub struct Softmax {
    pub batch: usize,
    pub input: [usize; 3],
    pub classes: usize,
    pub resize: Option<ResizeInfo>,
    pub crop: CropInfo,
    pub flip: f32,
    pub train: TrainInfo,
}

impl Default for Softmax {
    fn default() -> Self {
        Softmax {
            batch: 4,
            input: [1, 3, 5],
            classes: 3,
            resize: None,
            crop: CropInfo::None,
            flip: 0.0,
            train: TrainInfo {
                epochs: 2,
                learning_rate: ScheduleInfo { base: 0.5, warmup_steps: 0, decay: DecayInfo::None },
                shuffle: true,
                loss: "cross_entropy".to_owned(),
            },
        }
    }
}

fn port(name: &str, dtype: DType, shape: &[usize]) -> Port {
    Port { name: name.to_owned(), dtype, shape: shape.to_vec() }
}

impl Softmax {
    pub fn features(&self) -> usize {
        self.input.iter().product()
    }

    pub fn manifest(&self) -> Manifest {
        let (batch, features, classes) = (self.batch, self.features(), self.classes);
        let image = [vec![batch], self.input.to_vec()].concat();
        let function = |name: &str, inputs: Vec<Port>, outputs: Vec<Port>| Function {
            name: name.to_owned(),
            symbol: format!("softmax_{name}"),
            arena_bytes: 4 * batch * (classes + 1),
            scratch_bytes: 4 * features,
            inputs,
            outputs,
            kernels: vec![KernelInfo { symbol: format!("softmax_{name}"), layers: vec!["fc".to_owned()], macs: 0 }],
        };
        let mut offset = 0;
        let mut state = |name: &str, shape: Vec<usize>, role| {
            let info = StateInfo { name: name.to_owned(), offset, shape, role };
            offset += 4 * info.shape.iter().product::<usize>();
            info
        };
        let states = vec![
            state("fc.weight", vec![classes, features], StateRole::Parameter),
            state("fc.bias", vec![classes], StateRole::Parameter),
            state("optimizer.fc.weight.momentum", vec![classes, features], StateRole::Optimizer),
            state("optimizer.fc.bias.momentum", vec![classes], StateRole::Optimizer),
        ];
        Manifest {
            version: VERSION,
            name: "softmax".to_owned(),
            target: "test".to_owned(),
            hash: "0".repeat(64),
            batch,
            input: InputInfo { name: "image".to_owned(), shape: self.input.to_vec() },
            classes: (0..classes).map(|k| format!("class{k}")).collect(),
            output_shape: vec![classes],
            output_is_probability: false,
            preprocess: PreprocessInfo { resize: self.resize, crop: self.crop, flip: self.flip, bgr: false },
            train: Some(self.train.clone()),
            state_bytes: offset,
            states,
            functions: vec![
                function("init", vec![port("seed", DType::I32, &[2])], vec![]),
                function("preprocess", vec![port("image", DType::U8, &image)], vec![port("image", DType::F32, &image)]),
                function(
                    "infer",
                    vec![port("image", DType::F32, &image)],
                    vec![port("output", DType::F32, &[batch, classes])],
                ),
                function(
                    "train",
                    vec![
                        port("image", DType::F32, &image),
                        port("labels", DType::I32, &[batch]),
                        port("learning_rate", DType::F32, &[]),
                        port("step", DType::I32, &[]),
                        port("seed", DType::I32, &[2]),
                    ],
                    vec![port("loss", DType::F32, &[]), port("output", DType::F32, &[batch, classes])],
                ),
            ],
        }
    }

    /// Compiles it into `folder` with `embedded` as the symbol `netc_manifest`, or without one.
    pub fn build(&self, folder: &Path, embedded: Option<&str>) -> PathBuf {
        let mut header = String::new();
        if let Some(text) = embedded {
            header.push_str("const char netc_manifest[] = {");
            for byte in text.bytes() {
                write!(header, "{byte},").unwrap();
            }
            header.push_str("0};\n");
        }
        std::fs::write(folder.join("manifest.h"), header).unwrap();
        let library = folder.join("softmax.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/softmax_regression.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-ffp-contract=off", "-Wall", "-Werror", "-I"])
            .arg(folder)
            .args([
                format!("-DBATCH={}", self.batch),
                format!("-DFEATURES={}", self.features()),
                format!("-DCLASSES={}", self.classes),
            ])
            .arg(source)
            .arg("-o")
            .arg(&library)
            .arg("-lm")
            .status()
            .expect("the tests need a C compiler, `cc`");
        assert!(status.success());
        library
    }

    pub fn program(&self) -> Arc<Program> {
        let folder = TempDir::new().unwrap();
        let library = self.build(folder.path(), Some(&serde_json::to_string(&self.manifest()).unwrap()));
        // The folder may go once the library is mapped.
        Arc::new(Program::load(&library).unwrap())
    }
}

/// A session of `program` on `threads` threads.
pub fn session(program: &Arc<Program>, threads: usize) -> Session {
    Session::new(Arc::clone(program), Arc::new(Pool::new(threads).unwrap())).unwrap()
}
