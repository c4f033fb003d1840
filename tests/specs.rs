//! The specs that come with netc are right, and have the sizes that their sources state.

use netc::check::{self, Init, Layer, LayerKind, Network, network_from_text};
use netc::diag::{Code, Diagnostic};
use netc::source::Sources;
use netc::spec;

/// A spec with the files that it includes.
fn spec(name: &str) -> spec::Spec {
    let path = format!("{}/specs/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    netc::driver::read(path.as_ref(), &[]).expect("the spec is there").spec
}

fn network(name: &str) -> (Network, Vec<Diagnostic>) {
    check::check(&spec(name)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn layer<'a>(network: &'a Network, name: &str) -> &'a Layer {
    network.layers().map(|(_, l)| l).find(|l| l.name == name).expect("the layer is there")
}

/// Shapes of the layers with parameters and of the pools, which every version states.
fn sizes(network: &Network) -> Vec<(String, Vec<usize>)> {
    let telling = |l: &&Layer| !l.params.is_empty() || matches!(l.kind, LayerKind::MaxPool(_));
    network.layers().map(|(_, l)| l).filter(telling).map(|l| (l.name.clone(), l.shape.clone())).collect()
}

#[test]
fn alexnet_has_the_articles_sizes() {
    let (network, warnings) = network("alexnet");
    assert_eq!(warnings, []);
    assert_eq!(network.param_count(), 62_378_344);
    assert_eq!(network.macs(), 1_135_256_096);
    let conv1 = layer(&network, "conv1");
    assert_eq!(conv1.shape, [96, 55, 55]);
    assert_eq!(conv1.derivations[0].numbers, "(224 − 11 + (1 + 2))/4 + 1");
    assert_eq!(conv1.derivations[0].result, "55");
    assert_eq!(conv1.macs, 55 * 55 * 96 * 363);
    let names: Vec<&str> = network.layers().map(|(_, l)| l.name.as_str()).collect();
    assert_eq!(names[..6], ["image", "conv1", "relu1", "lrn1", "maxpool1", "conv2"]);
    let expected = [
        ("conv1", vec![96, 55, 55]),
        ("maxpool1", vec![96, 27, 27]),
        ("conv2", vec![256, 27, 27]),
        ("maxpool2", vec![256, 13, 13]),
        ("conv3", vec![384, 13, 13]),
        ("conv4", vec![384, 13, 13]),
        ("conv5", vec![256, 13, 13]),
        ("maxpool3", vec![256, 6, 6]),
        ("fc6", vec![4096]),
        ("fc7", vec![4096]),
        ("fc8", vec![1000]),
    ];
    assert_eq!(sizes(&network), expected.map(|(name, shape)| (name.to_string(), shape)));
    assert_eq!(network.layer(network.output().expect("an output")).name, "fc8");
}

#[test]
fn alexnet_half_has_the_sizes_of_the_articles_code() {
    let (network, warnings) = network("alexnet-half");
    assert_eq!(network.param_count(), 16_630_440);
    assert_eq!(network.macs(), 311_191_824);
    assert_eq!(layer(&network, "conv1").derivations[0].result, "55.25 → 55");
    let codes: Vec<Code> = warnings.iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::UnreadPadding]);
    let LayerKind::Conv { padding, .. } = &layer(&network, "conv1").kind else { panic!("a convolution") };
    assert_eq!((padding.top, padding.bottom), (2, 2));
}

#[test]
fn alexnet_paper_has_the_papers_sizes() {
    let (network, warnings) = network("alexnet-paper");
    assert_eq!(warnings, []);
    assert_eq!(network.param_count(), 60_965_224);
    assert_eq!(network.macs(), 724_406_816);
    let LayerKind::Conv { padding, .. } = &layer(&network, "conv1").kind else { panic!("a convolution") };
    // The program of 2012 reads three pixels beyond the image.
    assert_eq!((padding.top, padding.bottom, padding.left, padding.right), (0, 3, 0, 3));
    let ones: Vec<&str> = network
        .layers()
        .filter(|(_, l)| l.params.iter().any(|p| p.name == "bias" && p.init == Init::Constant(1.0)))
        .map(|(_, l)| l.name.as_str())
        .collect();
    assert_eq!(ones, ["conv2", "conv4", "conv5", "fc6", "fc7"]);
}

#[test]
fn lenet_fits_fashion_mnist() {
    let (network, warnings) = network("lenet");
    assert_eq!(warnings, []);
    assert_eq!(network.param_count(), 431_080);
    assert_eq!(network.classes.len(), 10);
    assert_eq!(network.preprocess.mean, [0.2860]);
    let train = network.train.as_ref().expect("a recipe");
    assert!(train.epochs <= 5);
}

#[test]
fn set_changes_what_is_checked() {
    let path = format!("{}/specs/alexnet.yaml", env!("CARGO_MANIFEST_DIR"));
    let netc::driver::Text { mut sources, mut spec } =
        netc::driver::read(path.as_ref(), &[]).expect("the spec is there");
    for argument in ["fc8.features=10", "train.batch=32", "train.optimizer.sgd.lr=0.02"] {
        spec::apply_set(&mut spec, &mut sources, argument).expect("a good argument");
    }
    let (network, _) = check::check(&spec).expect("a good spec");
    assert_eq!(layer(&network, "fc8").shape, [10]);
    let train = network.train.expect("a recipe");
    assert_eq!((train.batch, train.schedule.base), (32, 0.02));

    spec::apply_set(&mut spec, &mut sources, "conv1.stride=banana").expect("a good argument");
    let problems = check::check(&spec).expect_err("a wrong value");
    let (file, place) = sources.position(problems[0].span().expect("a place")).expect("a file");
    assert_eq!((file, place.column), ("--set", 14));
}

#[test]
fn printed_specs_read_back_to_the_same_network() {
    for name in ["alexnet", "alexnet-half", "alexnet-paper", "lenet", "googlenet"] {
        let spec = spec(name);
        let printed = spec::print(&spec);
        let (again, _) = network_from_text(name, &printed).unwrap_or_else(|p| panic!("{printed}\n{p:#?}"));
        let (network, _) = network(name);
        let kinds = |n: &Network| n.layers().map(|(_, l)| (l.name.clone(), l.kind.clone())).collect::<Vec<_>>();
        assert_eq!(kinds(&network), kinds(&again));
        assert_eq!((&network.train, &network.preprocess), (&again.train, &again.preprocess));
        assert_eq!(spec::print(&spec::parse(&mut Sources::new(), name, &printed)), printed);
    }
}

#[test]
fn every_spec_as_spec_network_and_table() {
    insta::glob!("../specs", "*.yaml", |path| {
        let spec = netc::driver::read(path, &[]).expect("the spec is there").spec;
        let (network, _) = check::check(&spec).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let settings = insta::Settings::clone_current();
        settings.bind(|| {
            insta::assert_snapshot!("spec", spec::print(&spec));
            insta::assert_snapshot!("network", check::print(&network));
            insta::assert_snapshot!("table", check::report::table(&network, 80));
        });
    });
}

#[test]
fn checking_alexnet_takes_milliseconds() {
    let time = || {
        let start = std::time::Instant::now();
        assert_eq!(network("alexnet").1, []);
        start.elapsed()
    };
    let best = (0..20).map(|_| time()).min().expect("some runs");
    assert!(best.as_millis() < 10, "{best:?}");
}

#[test]
fn the_table_for_programs_has_the_same_numbers() {
    let (network, _) = network("alexnet");
    let table = check::report::json(&network);
    assert_eq!(table["param_count"], 62_378_344);
    assert_eq!(table["layers"][1]["name"], "conv1");
    assert_eq!(table["layers"][1]["inputs"][0], "image");
    assert_eq!(table["layers"][1]["shape"], serde_json::json!([96, 55, 55]));
    assert_eq!(check::report::totals(&network), "62,378,344 params, 1,135.3 M MACs per image");
}

/// Numbers of parameters and of multiply-adds an image, with where the numbers of parameters are stated.
#[test]
fn classic_networks_have_the_sizes_that_their_sources_state() {
    // torchvision: `num_params` of its weights, and `_ops` in units of 10⁹; tests/torch/zoo.py holds the outputs to its own.
    // Caffe: counted from the layers of its model files, whose shapes are the same.
    // LeNet-5: the paper's own 60,000 with 1,516 in C3; all maps connected make 2,416 of it.
    // ZFNet, NIN: counted from the sizes in paper and model file; 62.4 M and 7.6 M are what is said of them.
    for (name, params, macs) in [
        ("alexnet-2012", 60_965_224, 724_406_816),
        ("alexnet-half", 16_630_440, 311_191_824),
        ("alexnet-paper", 60_965_224, 724_406_816),
        ("alexnet-torchvision", 61_100_840, 714_188_480),
        ("alexnet", 62_378_344, 1_135_256_096),
        ("bvlc_alexnet", 60_965_224, 724_406_816),
        ("caffenet", 60_965_224, 724_406_816),
        ("googlenet", 6_624_904, 1_498_376_192),
        ("lenet", 431_080, 2_293_000),
        ("lenet5", 61_706, 416_520),
        ("nin", 7_595_176, 1_100_188_800),
        ("resnet18", 11_689_512, 1_814_073_344),
        ("squeezenet", 1_235_496, 349_151_936),
        ("vgg11", 132_863_336, 7_609_090_048),
        ("vgg16", 138_357_544, 15_470_264_320),
        ("zfnet", 62_357_608, 1_168_032_896),
    ] {
        let (network, _) = network(name);
        assert_eq!((network.param_count(), network.macs()), (params, macs), "{name}");
    }
}

/// ResNet-18 as torchvision has it, written with blocks.
const RESNET18: &str = "
net: resnet18
input: {name: image, shape: [3, 224, 224]}
params: {width: 64}
blocks:
  basic:
    params: {channels: null}
    layers:
      - conv: {name: conv1, kernels: channels, kernel_size: 3, padding: 1, bias: false}
      - batchnorm: {name: bn1}
      - relu
      - conv: {name: conv2, kernels: channels, kernel_size: 3, padding: 1, bias: false}
      - batchnorm: {name: bn2}
      - add: {from: [bn2, input]}
      - relu
  down:
    params: {channels: null}
    layers:
      - conv: {name: conv1, kernels: channels, kernel_size: 3, stride: 2, padding: 1, rounding: floor, bias: false}
      - batchnorm: {name: bn1}
      - relu
      - conv: {name: conv2, kernels: channels, kernel_size: 3, padding: 1, bias: false}
      - batchnorm: {name: bn2}
      - conv: {name: shortcut, from: input, kernels: channels, kernel_size: 1, stride: 2, rounding: floor, bias: false}
      - batchnorm: {name: bn3}
      - add: {from: [bn2, bn3]}
      - relu
layers:
  - conv: {name: conv1, kernels: width, kernel_size: 7, stride: 2, padding: 3, rounding: floor, bias: false}
  - batchnorm: {name: bn1}
  - relu
  - maxpool: {kernel_size: 3, stride: 2, padding: 1, rounding: floor}
  - basic: {name: layer1, channels: width, repeat: 2}
  - down: {name: layer2, channels: width*2}
  - basic: {name: layer2b, channels: width*2}
  - down: {name: layer3, channels: width*4}
  - basic: {name: layer3b, channels: width*4}
  - down: {name: layer4, channels: width*8}
  - basic: {name: layer4b, channels: width*8}
  - global_avgpool
  - linear: {name: fc, features: 1000}
";

#[test]
fn blocks_build_resnet18() {
    let (network, _) = network_from_text("resnet18", RESNET18).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(network.param_count(), 11_689_512);
    assert_eq!(network.macs(), 1_814_073_344);
    let names = |name: &str| {
        let id = network.layers().find(|(_, l)| l.name == name).expect("the layer is there").0;
        network.inputs(id).into_iter().map(|i| network.layer(i).name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("layer1.1.add1"), ["layer1.1.bn2", "maxpool1"]);
    assert_eq!(names("layer1.2.add1"), ["layer1.2.bn2", "layer1.1.relu2"]);
    assert_eq!(names("layer2.shortcut"), ["layer1.2.relu2"]);
    assert_eq!(names("global_avgpool1"), ["layer4b.relu2"]);

    let mut sources = Sources::new();
    let mut spec = spec::parse(&mut sources, "resnet18", RESNET18);
    for argument in ["params.width=32", "layer4b.channels=256", "layer1.2.conv1.dilation=1", "layer2.conv1.kernels=64"]
    {
        spec::apply_set(&mut spec, &mut sources, argument).expect("a good argument");
    }
    let (network, _) = check::check(&spec).expect("a good spec");
    assert_eq!(layer(&network, "layer1.2.conv1").shape, [32, 56, 56]);
    assert!(spec::apply_set(&mut spec, &mut sources, "params.width=8").is_err());
    let printed = spec::print(&spec::parse(&mut Sources::new(), "resnet18", RESNET18));
    assert!(network_from_text("printed", &printed).is_ok(), "{printed}");
}
