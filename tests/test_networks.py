"Every network of the registry, and one that timm alone knows: the facts of its row, and that it learns, explains itself, is saved, and refuses the weights of another."
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import torchvision.models as tvm
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from covid_fastai.archs import ARCHS, Arch, get_arch
from covid_fastai.blocks import xray_dls
from covid_fastai.bundle import save_bundle
from covid_fastai.core import InputError
from covid_fastai.exports import add_onnx
from covid_fastai.cams import METHODS, cam_layer, cam_maps, features_and_gradients, is_blank
from covid_fastai.learner import xray_learner
from covid_fastai.manifest import read_manifest
from covid_fastai.models import HEADS, create_xray_body, create_xray_head, evaluation_mode, feature_shape, xray_model, xray_splitter
from covid_fastai.schedules import Phase
from covid_fastai.training import fit_phases
from covid_fastai.weights import load_weights

BIG = ("vgg16", "vgg19", "convnext_tiny", "resnet50", "resnet50v2", "inception_resnet_v2", "xception", "nasnetlarge", "vit_tiny_patch16_224")
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in BIG else name for name in (*ARCHS, "vit_tiny_patch16_224")]
TIMM = {"resnet50v2": "resnetv2_50", "inception_v3": "inception_v3.tf_in1k", "inception_resnet_v2": "inception_resnet_v2", "xception": "legacy_xception", "nasnetlarge": "nasnetalarge"}
OWN = ("small_cnn", "saxena2021_1", "saxena2021_2", "saxena2021_3")
CLASSES = 3
ONE_SIZE = ("vit_tiny_patch16_224",)  # it takes films of its native size alone

# Places of the feature map at the native size, each way: as the papers give them (a VGG's after its last pooling)
PLACES = {"small_cnn": 2, "saxena2021_1": 3, "saxena2021_2": 5, "saxena2021_3": 5, "squeezenet1_1": 13, "resnet18_layer3": 14, "inception_v3": 8, "inception_resnet_v2": 8, "xception": 10,
    "nasnetlarge": 11, "vit_tiny_patch16_224": 14}

# One pixel less than the row says is refused by these. The others pad, and take less; their rows say the side of one place of the map.
EXACT = (*OWN, "convnext_tiny", "vgg16", "vgg19", "inception_v3", "inception_resnet_v2")

# The network whose weights are most like those of another
NEAR = {"small_cnn": "saxena2021_3", "saxena2021_1": "saxena2021_3", "saxena2021_2": "saxena2021_3", "saxena2021_3": "saxena2021_1", "squeezenet1_1": "mobilenet_v2", "mobilenet_v2": "efficientnet_b0",
    "efficientnet_b0": "mobilenet_v2", "convnext_tiny": "vgg16", "densenet121": "densenet121_xrv", "densenet121_xrv": "densenet121", "resnet18": "resnet34", "resnet18_layer3": "resnet34",
    "resnet34": "resnet18", "resnet50": "resnet34", "vgg16": "vgg19", "vgg19": "vgg16", "resnet50v2": "resnet50", "inception_v3": "inception_resnet_v2", "inception_resnet_v2": "inception_v3",
    "xception": "inception_v3", "nasnetlarge": "xception", "vit_tiny_patch16_224": "swin_tiny_patch4_window7_224"}


@dataclass
class Net:
    "A network, and what its authors' own code makes of the phantoms."
    arch: Arch
    size: int  # of the films in these tests, pixels
    theirs: nn.Module  # the authors' network, its batch norm following phantoms
    features_of: object  # its function from normalised films to features, computed in float64
    film: torch.Tensor  # the phantoms, (n, 1, size, size) from 0 to 1
    dls: object  # loaders of the same phantoms, for training and for validation
    path: object  # its weights file

    @property
    def name(self): return self.arch.name


@pytest.fixture(scope="module")
def phantoms(study):
    "Twelve phantoms of twelve patients, in loaders of a size: to train on, and the same again to look at."
    films = read_manifest(study/"manifest.csv").drop_duplicates("patient_id").head(12)
    rows = pd.concat([films.assign(split=split) for split in ("train", "valid")], ignore_index=True)
    def loaders(size): return xray_dls(rows, "three-class", size=size, bs=6, aug="none", device="cpu")
    return loaders


@pytest.fixture(scope="module", params=NAMES)
def net(request, phantoms, tmp_path_factory):
    "One network after the other; all tests of one are run before the next is built."
    torch.manual_seed(0)
    arch, folder = get_arch(request.param), tmp_path_factory.mktemp("net")
    size = arch.size if arch.name in (*OWN, *ONE_SIZE) else max(64, arch.min_size)
    dls = phantoms(size)
    film = torch.cat([x for x, _ in dls.valid]).as_subclass(torch.Tensor)
    theirs, features_of = authors_network(arch)
    follow(theirs, normalised(film, arch))
    torch.save(theirs.state_dict(), folder/"weights.pth")
    yield Net(arch, size, theirs.double(), features_of, film, dls, folder/"weights.pth")
    shutil.rmtree(folder)  # NASNet's files are 340 MB each


def authors_network(arch):
    "A network from the code of its authors, and the function that makes its features."
    if arch.name in OWN:
        net = strengthened(arch.build())
        return net, net[:5]
    if arch.cut is None: return timm_network(arch)
    if arch.name.startswith("densenet121"):
        net = tvm.densenet121()
        if arch.channels == 1: net.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        return net, lambda x: F.relu(net.features(x))
    net = getattr(tvm, arch.name.removesuffix("_layer3"))()
    if not arch.name.startswith("resnet"): return net, net.features
    end = "layer3" if arch.name.endswith("_layer3") else "layer4"
    return net, lambda x: create_feature_extractor(net, [end])(x)[end]


def strengthened(net):
    "Layers without batch norm get He's first weights in place of Glorot's, with which the differences between films fade from layer to layer."
    if not any(isinstance(m, nn.BatchNorm2d) for m in net.modules()):
        for m in net.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)): nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
    return net


def timm_network(arch):
    import timm
    net = timm.create_model(TIMM.get(arch.name, arch.name), num_classes=1000)
    layout = {"vit_tiny_patch16_224": lambda x: x[:, 1:].unflatten(1, (14, 14)).permute(0, 3, 1, 2)}
    return net, lambda x: layout.get(arch.name, lambda x: x)(net.forward_features(x))


def normalised(film, arch):
    "Films as the authors' network takes them: copied to its channels, minus the mean, by the deviation."
    stats = ([1/2], [1/2048]) if arch.name == "densenet121_xrv" else arch.stats  # torchxrayvision: from -1024 to 1024
    mean, std = torch.tensor(stats)[..., None, None]  # as rounded to float32
    return (film - mean) / std


def follow(net, x):
    "Batch norm takes the statistics of one forward pass; the network is then in evaluation mode."
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for m in norms: m.reset_running_stats()
    was = [m.momentum for m in norms]
    for m in norms: m.momentum = None  # the plain mean of what it has seen
    with torch.no_grad(): net.train()(x)
    for m, momentum in zip(norms, was): m.momentum = momentum
    net.eval()


@pytest.fixture(scope="module")
def body(net):
    "This package's body of the network, with the same weights."
    return create_xray_body(net.arch, net.path).eval()


@pytest.fixture(scope="module")
def learn(net):
    "A learner on the network, its batch norm following the phantoms."
    learn = xray_learner(net.dls, net.arch, net.path, precision="fp32", metrics=[], seed=0)
    if net.name in OWN: strengthened(learn.model[1])
    with torch.no_grad(): follow(learn.model[1], learn.model[0].eval()(net.film))
    leave_nothing_out(learn.model)
    return learn


def leave_nothing_out(model):
    "Dropout and random depth off: twelve films and ten steps are too few to average over them."
    for m in model.modules():
        for rate in ("p", "drop_prob"):
            if hasattr(m, rate): setattr(m, rate, 0.0)


def differing(state, other):
    "Names of tensors that only one of two has, or that differ in shape."
    return {k for k in {*state, *other} if k not in state or k not in other or state[k].shape != other[k].shape}


def changed(model, before):
    "Names of the tensors that are no longer what they were."
    return [k for k, v in model.state_dict().items() if not v.equal(before[k])]


# The facts of a row

def test_features_are_those_of_the_authors_network(net, body):
    with torch.no_grad(): ours, features = body.double()(net.film.double()), net.features_of(normalised(net.film.double(), net.arch))
    assert ours.shape == features.shape
    assert features.std(0).max() > 1e-3  # the films differ
    assert (ours - features).abs().max() < 1e-6 * features.std()


def test_sizes(net, body):
    arch, body, places = net.arch, body.float(), PLACES.get(net.name, 7)
    assert feature_shape(body, arch, arch.size) == (arch.features, places, places)
    if net.name in ONE_SIZE:  # one size alone: the message names it, and no least size
        assert arch.min_size == 1 and arch.size == net.size
        with pytest.raises(InputError, match=f"films of 160 px for {net.name}.*its native {arch.size} px"): feature_shape(body, arch, 160)
        return
    channels, *sides = feature_shape(body, arch, arch.min_size)
    assert channels == arch.features and min(sides) >= 1
    if net.name not in EXACT:
        feature_shape(body, arch, arch.min_size - 1)
        return
    with pytest.raises(InputError, match=f"films of {arch.min_size - 1} px for {net.name}.*at least {arch.min_size} px"): feature_shape(body, arch, arch.min_size - 1)


def test_parameter_groups(net, learn):
    lower, upper, head = groups = xray_splitter(learn.model)
    assert all(groups)
    assert [id(p) for g in groups for p in g] == [id(p) for p in learn.model.parameters()]
    if not net.arch.upper:
        assert abs(len(lower) - len(upper)) <= 1
        return
    first = next(net.theirs.get_submodule(net.arch.upper).parameters())
    before = next(i for i, p in enumerate(net.theirs.parameters()) if p is first)
    assert len(lower) == before
    assert upper[0].equal(first.float())


def test_weights_and_statistics(net):
    arch = net.arch
    if arch.name in (*OWN, "densenet121_xrv"):
        assert arch.weights == "" and arch.channels == 1
        return
    assert re.fullmatch(r"https://[\w./-]+-[0-9a-f]{8,}\.pth|hf-hub:[\w-]+/[\w.-]+", arch.weights)
    assert [len(numbers) for numbers in arch.stats] == [3, 3]
    if arch.cut is None: return like_timm(arch)
    published = tvm.get_model_weights(arch.name.removesuffix("_layer3")).DEFAULT
    films = published.transforms()
    assert arch.weights == published.url
    assert ((*films.mean,), (*films.std,), *films.crop_size) == (*arch.stats, arch.size)
    assert arch.min_size >= max(published.meta["min_size"])


def like_timm(arch):
    import timm
    cfg = timm.get_pretrained_cfg(TIMM.get(arch.name, arch.name))
    assert (cfg.mean, cfg.std) == arch.stats
    assert cfg.input_size == (3, arch.size, arch.size)
    assert arch.weights in (f"hf-hub:{cfg.hf_hub_id}", cfg.url)


# What it does

def test_it_learns(net, learn):
    with torch.no_grad(): logits = learn.model.eval()(net.film)
    assert logits.std(0).max() > 0.1
    start, before = learn.validate()[0], {k: v.clone() for k, v in learn.model[0].state_dict().items()}
    lr = 0.2 / next(m.in_features for m in learn.model[1].modules() if isinstance(m, nn.Linear))  # so that heads of all widths learn about as fast
    times = 10 if net.name in OWN else 1  # these are as quick as they are slow to learn
    frozen = fit_phases(learn, [Phase("frozen", 3 * times, lr, lr, frozen=True, shape="constant")])["valid_loss"].iloc[-1]
    assert changed(learn.model[0], before) == []
    unfrozen = fit_phases(learn, [Phase("all", 2 * times, lr / 2, lr / 1000, shape="constant")])["valid_loss"].iloc[-1]
    assert start > frozen > unfrozen
    params, moved = [k for k, _ in learn.model[0].named_parameters()], changed(learn.model[0], before)
    assert set(moved) <= set(params) and len(moved) > len(params) / 2  # weights, and no statistics


def test_cams(net, learn):
    layer = cam_layer(learn.model, film=net.film[:1])
    assert any(layer is m for m in learn.model[0].modules())
    if net.arch.cam:
        where = net.theirs.get_submodule(net.arch.cam)
        assert type(layer) is type(where) is nn.ReLU and learn.model.cam
    films = torch.cat([net.film[:2]] * CLASSES)
    for method in METHODS:
        cams = cam_maps(learn, films, method, target=np.repeat(range(CLASSES), 2))
        assert len(cams) == len(films) and np.isfinite(cams).all()
        assert not is_blank(cams).all() or method == "eigen-cam" and cams[0].size == 1  # one place has no pattern
    last = cam_maps(learn, films.contiguous(memory_format=torch.channels_last), method, target=0)
    assert np.abs(last - cams).max() <= 1e-4 * cams.max()  # the last method does not ask for the class


def test_bfloat16_is_as_good_as_its_rounding(net, learn):
    "Features in both precisions against float64: bfloat16 rounds 65,536 times as coarsely, and loses at most half of that. How much it is depends on the network: what is ill-conditioned in one precision is so in the other."
    body, layer = learn.model[0], cam_layer(learn.model, film=net.film[:1])
    half, full = (features_and_gradients(learn.model, net.film, 0, precision=p)[0].double() for p in ("bf16", "fp32"))
    exact, name = [], next(name for name, m in body.named_modules() if m is layer)
    double = deepcopy(body).double().eval()
    double.get_submodule(name).register_forward_hook(lambda m, args, out: exact.append(out))
    with torch.no_grad(): double(net.film.double())
    coarse, fine = ((f - exact[0]).norm() / exact[0].norm() for f in (half, full))
    assert 1e-8 < fine < 1e-3 and 2**8 * fine < coarse < 2**15 * fine, (fine, coarse)


def test_a_bundle_gives_the_same(net, learn, reader):
    "In this process, in a fresh one, and in ONNX Runtime: the logits that the network gave, measured by how much they differ between films. ONNX Runtime rounds in other places, and may be as far from float64 as torch is."
    follow(learn.model, net.film)
    folder, state = net.path.with_name("bundle"), learn.model.state_dict()
    save_bundle(learn.model, learn.spec, folder)
    bundle = add_onnx(folder)
    loaded = bundle.model.state_dict()
    assert list(loaded) == list(state) and all(v.equal(state[k]) for k, v in loaded.items())
    films = np.uint8(net.film[:, 0] * 255)
    with torch.no_grad(), evaluation_mode(learn.model): logits = learn.model(torch.tensor(films)[:, None] / 255).numpy()
    spread = logits.std(0).max()
    assert spread > 0.1
    np.save(net.path.with_name("films.npy"), films)
    torch_logits, onnx_logits = reader(folder, net.path.with_name("films.npy"))
    assert np.abs(torch_logits - logits).max() < 1e-5 * spread
    exact = deepcopy(learn.model).double().eval()
    with torch.no_grad(): exact = exact[1](exact[0](torch.tensor(films)[:, None].double() / 255)).numpy()
    own = np.abs(logits - exact).max()  # what float32 costs the network itself; above 1e-4 of the spread for some with such weights
    assert np.abs(onnx_logits - exact).max() < max(1e-4 * spread, 2 * own) and own < 1e-3 * spread
    expected = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    assert np.abs(bundle.predict(films) - expected).max() < 1e-6


READER = """
import sys
import numpy as np, onnxruntime, torch
from covid_fastai.bundle import load_bundle
for line in sys.stdin:
    folder, films, out = line.rstrip("\\n").split("|")
    x = np.load(films)[:, None].astype(np.float32) / np.float32(255)
    with torch.no_grad(): mine = load_bundle(folder).model(torch.tensor(x)).numpy()
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    np.save(out, np.stack([mine, session.run(["logits"], {"films": x})[0]]))
    print(out, flush=True)
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    "A process of its own that has seen no learner: it reads a bundle and a file of films, and gives the logits of torch and of ONNX Runtime."
    out = tmp_path_factory.mktemp("reader")/"logits.npy"
    with subprocess.Popen([sys.executable, "-c", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        def ask(folder, films):
            print(folder, films, out, sep="|", file=process.stdin, flush=True)
            assert process.stdout.readline().strip() == str(out)
            return np.load(out)
        yield ask
        process.stdin.close()


def test_weights_of_another_are_refused_by_name(net):
    with torch.device("meta"): other = get_arch(NEAR[net.name]).build().state_dict()
    path = net.path.with_name("other.pth")
    torch.save({k: torch.ones((), dtype=v.dtype).expand(v.shape) for k, v in other.items()}, path)
    whole = net.arch.build()
    before = {k: v.clone() for k, v in whole.state_dict().items()}
    with pytest.raises(InputError) as error: load_weights(net.arch, whole, path)
    message = str(error.value)
    assert message.startswith(f"weights other.pth do not fit {net.name}: ") and "\n" not in message
    named = {k.split(" is ")[0] for keys in re.findall(r"\d+ (?:missing|unknown|of another shape) \(((?:[^()]|\([\d, ]*\))*)\)", message) for k in re.split(r", (?=[a-zA-Z\d]+[._])", keys.removesuffix(", …"))}
    assert named and named <= differing(whole.state_dict(), other)
    if NEAR[net.name] in ARCHS: assert re.search(rf"they fit --arch (\w+ or )*{NEAR[net.name]}\b", message)
    assert changed(whole, before) == []


# Heads

@pytest.fixture(scope="module")
def maps():
    "Feature maps of VGG16 on films of 128 px and of saxena2021's network on 224 px: 4 × 4 and 5 × 5 places."
    torch.manual_seed(0)
    def features(name, size):
        with torch.no_grad(): return create_xray_body(name).eval()(torch.rand(2, 1, size, size))
    return features("vgg16", 128), features("saxena2021_2", 224)


@pytest.mark.parametrize("name", HEADS)
def test_heads(maps, name):
    for features in maps:
        head = create_xray_head(HEADS[name], features.shape[1:], 5)
        assert head.eval()(features).shape == (2, 5)


def test_a_head_on_a_network_of_the_other_study():
    model = xray_model("vgg16", CLASSES, "saxena2021_4", size=128)
    assert [m.out_features for m in model[1] if isinstance(m, nn.Linear)] == [64, CLASSES]
    assert model.eval()(torch.rand(2, 1, 128, 128)).shape == (2, CLASSES)
    with pytest.raises(InputError, match="avg4 on a map of 3 × 3"): xray_model("vgg16", CLASSES, "saxena2021_4", size=96)


# As Keras counts: (3 · 3 · in + 1) · out of a convolution, (in + 1) · out of a dense layer. Batch norm without a scale stands in place of the bias: as many numbers that are learnt, and twice as many that follow the data.
CONVS = (9*1 + 1) * 32 + 2 * (9*32 + 1) * 32 + (9*32 + 1) * 64 + (9*64 + 1) * 64


@pytest.mark.parametrize("i, places, follows", [(1, 3*3, 0), (2, 5*5, 0), (3, 5*5, 2 * (32 + 64 + 64 + 128))])
def test_saxena_counts(i, places, follows):
    model = xray_model(f"saxena2021_{i}", CLASSES)
    assert CONVS == 74_240
    assert sum(p.numel() for p in model.parameters()) == CONVS + (64 * places + 1) * 128 + (128 + 1) * 64 + (64 + 1) * CLASSES
    assert sum(b.numel() for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))) == follows
    dropout = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
    assert dropout == ([] if i == 1 else [0.5])
