"""Published checkpoints, against what the published implementation itself computed (tests/fixtures/parity)."""

import argparse
import json
import os
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from compressai.entropy_models import EntropyBottleneck as CompressAIPrior
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import sc2bench
from sc2bench.chain import Chain, as_chain, cut
from sc2bench.cli import app, guarded
from sc2bench.config import TeacherConfig, compose
from sc2bench.core.errors import CheckpointError
from sc2bench.core.registry import BOTTLENECKS, TEACHER_LIBRARIES, TEACHERS
from sc2bench.core.state import unique_state
from sc2bench.data.miniature import make_imagenet
from sc2bench.entropy import IntegerTables
from sc2bench.importing import import_checkpoint, load_published
from sc2bench.methods import build_model
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.identity import key_of, surroundings_of_weights
from sc2bench.runs.run import run_experiments
from sc2bench.teachers import Preprocess, Teacher, read_weights
from sc2bench.wire.inputs import ImageSpec
from tests import FIXTURES
from tests.conftest import refuse_all_but_the_folder

PARITY = FIXTURES / "parity"
FACTS = json.loads((PARITY / "bottlenecks.json").read_text())
WHOLE = json.loads((PARITY / "model_state_dicts.json").read_text())
PRIORS = {"fp": "factorized", "shp": "scale_hyperprior", "mshp": "mean_scale_hyperprior"}
# What CompressAI called the parameters of a factorized prior until version 1.2.2, and in its first days.
OLD_NAMES = {"matrices.": "_matrix", "biases.": "_bias", "factors.": "_factor"}
OLDEST_NAMES = {"matrices.": "_matrices.", "biases.": "_biases.", "factors.": "_factors."}
TABLES = ("_offset", "_quantized_cdf", "_cdf_length", "scale_table")
TOLERANCE = {"atol": 1e-4, "rtol": 0}


def small_teacher(channels: int) -> Teacher:
    """A classifier whose layer1 has a quarter of the image's size, as a ResNet's has."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(3, channels, 2, 2, bias=False)
    layers["bn1"] = nn.BatchNorm2d(channels)
    layers["relu"] = nn.ReLU(inplace=True)
    layers["maxpool"] = nn.MaxPool2d(2)
    layers["layer1"] = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels))
    layers["layer2"] = nn.Sequential(nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten(1)
    layers["fc"] = nn.Linear(8, 4)
    return Teacher(Preprocess([0.5] * 3, [0.25] * 3), Chain(layers))


@pytest.fixture
def small_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "fashion_resnet" in TEACHERS
    for channels in (16, 64):
        monkeypatch.setitem(TEACHERS._entries, f"small{channels}", lambda channels=channels: small_teacher(channels))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_imagenet(tmp_path_factory.mktemp("imagenet"), per_class=2, sizes=((120, 110),))


@pytest.fixture
def overrides(small_teachers: None, miniature: Path, tmp_path: Path) -> list[str]:
    """The experiment that the parity files of Entropic Student belong to, but for the prior."""
    return [
        "task=ilsvrc2012",
        f"task.root={miniature}",
        "task.resize=96",
        "task.crop=96",
        "teacher={library: '', name: small16, weights: random}",
        "method=entropic_student",
        "method.latent_channels=6",
        "method.hyper_channels=8",
        f"output={tmp_path}/results",
        f"checkpoints={tmp_path}/checkpoints",
    ]


def tensors(name: str) -> dict[str, Tensor]:
    return load_file(PARITY / f"{name}.safetensors")


def bottleneck(name: str, prefix: str = "bottleneck_layer.") -> dict[str, Tensor]:
    return {prefix + key[6:]: value for key, value in tensors(name).items() if key.startswith("state.")}


def tail(channels: int, after: str = "layer1") -> dict[str, Tensor]:
    """Weights of the teacher's layers behind the bottleneck, under the names that they are published under."""
    return dict(cut(small_teacher(channels).chain, after)[1].state_dict())


def renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    for today, then in names.items():
        state = {key.replace(f"entropy_bottleneck.{today}", f"entropy_bottleneck.{then}"): state[key] for key in state}
    return state


def without_tables(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value[:0].flatten() if key.endswith(TABLES) else value for key, value in state.items()}


def published_file(folder: Path, name: str) -> Path:
    """A checkpoint in one of the forms in which there are some."""
    state = bottleneck(name) | tail(16)
    path = folder / f"{name}.pt"
    args = argparse.Namespace(config="configs/some.yaml", device=torch.device("cpu"), world_size=1, seed=None)
    if name == "fp":
        # Version 0.0.3: CompressAI's names until 1.2.2, from a wrapped model, in the format before the zip files.
        state = {f"module.{key}": value for key, value in renamed(state, OLD_NAMES).items()}
        wrapped = {"model": OrderedDict(state), "best_value": 63.2, "args": args}
        torch.save(wrapped, path, _use_new_zipfile_serialization=False)
    elif name == "shp":
        torch.save({"model": renamed(state, OLDEST_NAMES), "args": args}, path)
    else:
        # Version 0.1.1 before its tables were built.
        path = folder / "mshp.safetensors"
        save_file(without_tables(state), path)
    return path


@torch.inference_mode()
@pytest.mark.parametrize("name", PRIORS)
def test_latents_outputs_and_sizes_are_as_published(overrides, tmp_path, name, capsys, monkeypatch):
    experiment = [*overrides, f"method.prior={PRIORS[name]}"]
    command = ["import-checkpoint", str(published_file(tmp_path, name)), *experiment[:-1], "--as", experiment[-1]]
    with pytest.raises(SystemExit) as stop:
        app(command)
    assert stop.value.code == 0
    refuse_all_but_the_folder(monkeypatch)
    model = sc2bench.load(capsys.readouterr().out.strip())
    expected = tensors(name)
    latents = model.device.encoder(expected["input"])
    torch.testing.assert_close(latents, expected["latent_y"], **TOLERANCE)
    prior = model.device.prior
    if name != "fp":
        seen = latents.abs() if name == "shp" else latents
        torch.testing.assert_close(prior.hyper_encoder(seen), expected["latent_z"], **TOLERANCE)
    coded = prior.compress(latents)
    server = model.server
    decoded = server.decoder(server.prior.decompress(coded, server.shapes(model.spec.probe_shape)))
    torch.testing.assert_close(decoded, expected["output"], **TOLERANCE)
    payloads, *sides = FACTS[name]["payload_bytes_per_stream_per_sample"]
    for number, item in enumerate(coded):
        assert 0 < len(item.payload) <= payloads[number]
        assert len(item.side_info) <= (sides[0][number] if sides else 0)
    # Also where the checkpoint had none, the tables are those of the published model.
    side = prior if name == "fp" else prior.shared.side
    assert side.tables.to_bytes() == published_tables(expected)
    for layer, weight in tail(16).items():
        assert model.server.tail.state_dict()[layer].shape == weight.shape


def published_tables(stored: dict[str, Tensor]) -> bytes:
    names = ("_quantized_cdf", "_cdf_length", "_offset")
    cumulative, lengths, offsets = (stored[f"state.entropy_bottleneck.{name}"].numpy() for name in names)
    return IntegerTables(cumulative, lengths - 2, offsets).to_bytes()


def test_run_only_measures_what_was_imported(overrides, tmp_path, capsys):
    folder = import_checkpoint(published_file(tmp_path, "fp"), compose(overrides))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"model.safetensors", "config.json", "model.json", "imported.json"}
    assert json.loads(before["imported.json"])["file"] == "fp.pt"
    with pytest.raises(SystemExit) as stop:
        app(["run", "--quiet", *overrides])
    assert stop.value.code == 0
    record = json.loads(Path(capsys.readouterr().out.strip()).read_text())
    assert record["samples"] == 4
    assert 0 < record["bytes_mean"] < 1000
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_was_measured_of_one_checkpoint_is_not_taken_for_another(overrides, tmp_path):
    config = compose(overrides)
    first = published_file(tmp_path, "fp")
    import_checkpoint(first, config)
    plain = Experiment(config)
    (record,) = run_experiments([plain], quiet=True)
    dependent = Experiment(replace(config, source=config))
    keys = [plain.id, key_of(surroundings_of_weights(dependent.config))]
    other = tmp_path / "other.safetensors"
    save_file({key: value + 0.5 if key == "fc.bias" else value for key, value in read_weights(first).items()}, other)
    import_checkpoint(other, config, force=True)
    assert not Experiment(config).done
    assert [Experiment(config).id, key_of(surroundings_of_weights(dependent.config))] != keys
    assert f"{record.name} does not count: imported is not the same; the point is measured anew" in (
        Experiment(config).predecessors()
    )
    import_checkpoint(first, config, force=True)
    assert Experiment(config).record_path == record


def test_imported_weights_are_never_trained_anew(overrides, tmp_path):
    config = compose(overrides)
    folder = import_checkpoint(published_file(tmp_path, "fp"), config)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CheckpointError, match=r"were taken over from fp\.pt, so --retrain has nothing to start from"):
        run_experiments([Experiment(config)], quiet=True, retrain=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@torch.inference_mode()
@pytest.mark.parametrize("layout", ["stage", "sequence"])
def test_channel_reduction_is_as_published(small_teachers, layout):
    """The bottleneck in place of a layer (0.1.1), and in one sequence with the stem (0.0.3)."""
    config = compose(["task=ilsvrc2012", "method=channel_reduction", "rate=3"])
    model = build_model(config, small_teacher(64), ImageSpec(3, (96, 96)))
    stem = {key: value for key, value in small_teacher(64).chain.state_dict().items() if key[:3] in ("con", "bn1")}
    if layout == "stage":
        state = stem | bottleneck("cr_bq_layer1_small_resnet", "layer1.")
    else:
        numbers = {"conv1": 0, "bn1": 1} | {f"encoder.{number}": number + 4 for number in range(8)}
        parts = stem | bottleneck("cr_bq_layer1_small_resnet", "")
        state = {}
        for key, value in parts.items():
            module, _, parameter = key.rpartition(".")
            place = f"encoder.{numbers[module]}" if module in numbers else module
            state[f"bottleneck_layer.{place}.{parameter}"] = value
    load_published(model, state | tail(64), layout)
    for key, value in stem.items():
        assert torch.equal(model.device.encoder[0].state_dict()[key], value)
    expected = tensors("cr_bq_layer1_small_resnet")
    latents = model.device.encoder[1](expected["input"])
    torch.testing.assert_close(latents, expected["latent"], **TOLERANCE)
    torch.testing.assert_close(model.server.decoder(latents.clone()), expected["output"], **TOLERANCE)
    coded = model.device.prior.compress(latents)
    assert [len(item.payload) for item in coded] == [3 * 28 * 28] * 2
    quantized = model.server.prior.decompress(coded, model.server.shapes(model.spec.probe_shape))
    torch.testing.assert_close(model.server.decoder(quantized), expected["output_after_8bit"], **TOLERANCE)


LAYOUTS = {
    "cr_bq_resnet_v0_1_1": ("cr_resnet", 3),
    "cr_bq_densenet": ("cr_densenet", 3),
    "cr_bq_inception_v3": ("cr_inception_v3", 3),
    "cr_bq_layer1_small_resnet": ("cr_layer1", 64),
    "cr_bq_layer1_large_resnet": ("cr_layer1", 64),
}


@torch.inference_mode()
@pytest.mark.parametrize("published", LAYOUTS)
def test_layouts_of_channel_reduction_are_the_published_ones(published):
    name, channels = LAYOUTS[published]
    facts = FACTS[published]
    ours = BOTTLENECKS[name](channels, facts["output"][1], 3, ())
    parts = nn.ModuleDict({"encoder": ours.encoder.eval(), "decoder": ours.decoder.eval()})
    assert {key: list(value.shape) for key, value in parts.state_dict().items()} == facts["state_dict"]
    latents = ours.encoder(torch.zeros(facts["input"]))
    assert list(latents.shape) == facts["latent"]
    assert list(ours.decoder(latents).shape) == facts["output"]


@torch.inference_mode()
@pytest.mark.parametrize(("name", "padding"), [("cr_resnet", 1), ("cr_densenet", 1), ("cr_inception_v3", 0)])
def test_stems_of_channel_reduction_pool_over_three_pixels(name, padding):
    """Pools of two and three pixels give latents of one shape, so that shapes alone don't tell them apart."""
    stem = BOTTLENECKS[name](3, 192, 3, ()).encoder.eval()[:4]
    image = torch.randn(1, 3, 75, 75)
    assert torch.equal(stem(image), nn.functional.max_pool2d(stem[:3](image), 3, 2, padding))


TEACHER_NAMES = {
    "splittable_resnet101-mshp": ["teacher.name=resnet101", "method.prior=mean_scale_hyperprior"],
    "splittable_regnety_064-fp": ["teacher={library: timm, name: regnety_064, weights: pretrained}", "method.after=s1"],
}
PARTS = {
    "encoder": "device.encoder",
    "g_a": "device.encoder",
    "decoder": "server.decoder",
    "g_s": "server.decoder",
    "h_a": "device.prior.hyper_encoder",
    "h_s": "device.prior.shared.hyper_decoder",
    "gaussian_conditional": "device.prior.shared.gaussian",
}


def test_all_whole_models_are_tested():
    assert set(TEACHER_NAMES) | {"splittable_resnet50-fp"} == set(WHOLE)


@pytest.mark.slow
@pytest.mark.parametrize("published", TEACHER_NAMES)
def test_every_key_of_whole_models_has_its_place(published):
    config = compose(["task=ilsvrc2012", "method=entropic_student", *TEACHER_NAMES[published]])
    library = TEACHER_LIBRARIES[config.teacher.library]
    teacher = library.teacher(config.teacher, library.build(config.teacher, 1000))
    model = build_model(config, teacher, ImageSpec(3, (64, 64)))
    state = whole_state(WHOLE[published])
    load_published(model, state, published)
    check_places(state, unique_state(model), published)


@pytest.mark.slow
def test_a_whole_model_needs_neither_data_set_nor_weights_of_the_teacher(tmp_path, monkeypatch):
    monkeypatch.delenv("SC2BENCH_ILSVRC2012", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    # Nothing listens there.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    state = whole_state(WHOLE["splittable_resnet50-fp"])
    save_file(state, tmp_path / "published.safetensors")
    config = compose(["task=ilsvrc2012", "method=entropic_student", f"checkpoints={tmp_path}"])
    assert config.teacher.weights == "IMAGENET1K_V1"
    folder = import_checkpoint(tmp_path / "published.safetensors", config)
    check_places(state, load_file(folder / "model.safetensors"), "splittable_resnet50-fp")
    assert json.loads((folder / "config.json").read_text()) == config.resolved()


def check_places(state: dict[str, Tensor], found: dict[str, Tensor], published: str) -> None:
    """Asserts that each published tensor is where it belongs, and that nothing else is there."""
    side = "device.prior.model" if published.endswith("-fp") else "device.prior.shared.side.model"
    places = PARTS | {"entropy_bottleneck": side}
    ours = {}
    for key in state:
        part, _, rest = key.removeprefix("bottleneck_layer.").partition(".")
        ours[key] = f"{places[part]}.{rest}" if key.startswith("bottleneck_layer.") else f"server.tail.{key}"
    assert set(ours.values()) == found.keys()
    for key, name in ours.items():
        if key.endswith(TABLES):
            assert found[name].numel() > 0
        else:
            assert torch.equal(found[name], state[key]), key


def whole_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Values of our own for published names and shapes; each tensor differs from all others."""
    prior = CompressAIPrior(shapes["bottleneck_layer.entropy_bottleneck.quantiles"][0]).state_dict()
    constants = {key[6:]: value for key, value in tensors("mshp").items() if key.startswith("state.")}
    state = {}
    for number, (key, shape) in enumerate(shapes.items()):
        inner = key.removeprefix("bottleneck_layer.")
        if inner.startswith("entropy_bottleneck."):
            state[key] = prior[inner.removeprefix("entropy_bottleneck.")].clone()
        elif inner.endswith((".bound", ".scale_bound", ".pedestal")):
            state[key] = constants[inner.replace("encoder", "g_a").replace("decoder", "g_s")]
        else:
            integer = inner.endswith(("num_batches_tracked", "_offset", "_quantized_cdf", "_cdf_length"))
            state[key] = torch.full(shape, number, dtype=torch.int32 if integer else torch.float32)
        assert list(state[key].shape) == shape
    return state


# Teacher, overrides, size of images, and what the published model calls the teacher's parts.
FAMILIES = {
    "densenet": (
        TeacherConfig("densenet121", "DEFAULT", "torchvision"),
        ["method=channel_reduction", "method.bottleneck=cr_densenet", "method.starts_after=''"],
        "transition2",
        64,
        {},
    ),
    "inception": (
        TeacherConfig("inception_v3", "DEFAULT", "torchvision"),
        ["method=channel_reduction", "method.bottleneck=cr_inception_v3", "method.starts_after=''"],
        "maxpool2",
        75,
        {"Mixed_": "inception_modules.Mixed_"},
    ),
    "hybrid transformer": (
        TeacherConfig("vit_small_r26_s32_224", "random", "timm"),
        ["method=entropic_student"],
        "stage1",
        224,
        {
            "patch_embed.backbone.stages.": "patch_embed_pruned_stages.",
            "patch_embed.backbone.norm.": "patch_embed_norm.",
            "patch_embed.proj.": "patch_embed_proj.",
        },
    ),
    "fine-tuned entropy bottleneck": (
        TeacherConfig("resnet18", "random", "torchvision"),
        ["method=entropy_bottleneck"],
        "layer2",
        64,
        {"conv1.": "encoder.conv1.", "bn1.": "encoder.bn1.", "fc.": "classifier.fc."}
        | {f"layer{number}.": f"{'encoder' if number < 3 else 'decoder'}.layer{number}." for number in range(1, 5)},
    ),
}


@pytest.mark.slow
@torch.inference_mode()
@pytest.mark.parametrize("family", FAMILIES)
def test_families_of_teachers_keep_their_tails(family):
    teacher_config, options, after, size, names = FAMILIES[family]
    library = TEACHER_LIBRARIES[teacher_config.library]
    options = [f"task.resize={size}", f"task.crop={size}", *options, f"method.after={after}", "rate=3"]
    teacher = library.teacher(teacher_config, library.build(teacher_config, 7))
    model = build_model(compose(["task=ilsvrc2012", *options]), teacher, ImageSpec(3, (size, size)))
    network = library.build(teacher_config, 7).eval()
    front, rest = cut(as_chain(network), after)
    if family == "fine-tuned entropy bottleneck":
        published = network.state_dict()
        added = {f"entropy_bottleneck.entropy_bottleneck.{k}": v for k, v in CompressAIPrior(128).state_dict().items()}
    else:
        kept = {value.data_ptr() for value in rest.state_dict().values()}
        published = {key: value for key, value in network.state_dict().items() if value.data_ptr() in kept}
        parts = nn.ModuleDict({"encoder": model.device.encoder, "decoder": model.server.decoder})
        if "method=entropic_student" in options:
            parts["entropy_bottleneck"] = model.device.prior.model
        added = {f"bottleneck_layer.{key}": value for key, value in parts.state_dict().items()}
    for library_name, published_name in names.items():
        known = tuple(names.values())
        published = {
            published_name + key.removeprefix(library_name)
            if key.startswith(library_name) and not key.startswith(known)
            else key: value
            for key, value in published.items()
        }
    load_published(model, published | added, family)
    pairs = [(model.server.tail, rest)]
    if family == "fine-tuned entropy bottleneck":
        pairs.append((model.device.encoder, front))
    for found, expected in pairs:
        assert found.state_dict().keys() == expected.state_dict().keys()
        for key, value in expected.state_dict().items():
            assert torch.equal(found.state_dict()[key], value), key


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that a command fails with."""
    assert guarded(lambda: app(arguments), debug=False) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def without(key: str) -> dict[str, Tensor]:
    state = bottleneck("fp") | tail(16)
    del state[key]
    return state


def changed(key: str, value: Tensor) -> dict[str, Tensor]:
    return bottleneck("fp") | tail(16) | {key: value}


GAMMA = "bottleneck_layer.encoder.1.gamma"
PEDESTAL = f"{GAMMA}_reparam.pedestal"
CUMULATIVE = "bottleneck_layer.entropy_bottleneck._quantized_cdf"
BAD = {
    "a key too many": (lambda: changed("layer5.weight", torch.zeros(2)), "unexpected layer5.weight"),
    "a key too few": (lambda: without(GAMMA), "missing device.encoder.1.gamma"),
    "a bottleneck alone": (lambda: bottleneck("fp"), "missing server.tail.fc.bias; missing server.tail.fc.weight; "),
    "another shape": (lambda: changed(GAMMA, torch.zeros(3, 3)), "size mismatch for device.encoder.1.gamma"),
    "another constant": (lambda: changed(PEDESTAL, torch.ones(1)), f"{PEDESTAL} is [1.0] instead of [1.4"),
    "a number that is none": (lambda: changed(GAMMA, torch.full((24, 24), torch.nan)), f"{GAMMA} is not finite"),
    "two names of one": (lambda: changed("g_a.1.gamma", torch.zeros(24, 24)), "means the same as another key"),
    "falling tables": (lambda: changed(CUMULATIVE, torch.ones(6, 33, dtype=torch.int32)), "damaged entropy tables"),
    "tables of another prior": (
        lambda: changed(CUMULATIVE, torch.zeros(5, 33, dtype=torch.int32)),
        "damaged entropy tables",
    ),
}


@pytest.mark.parametrize("mistake", BAD)
def test_state_that_does_not_fit_is_refused(overrides, tmp_path, capsys, mistake):
    make, message = BAD[mistake]
    save_file(make(), tmp_path / "bad.safetensors")
    line = complaint(["import-checkpoint", str(tmp_path / "bad.safetensors"), *overrides], capsys)
    assert line.startswith(f"error: weights {tmp_path}/bad.safetensors ")
    assert message in line
    assert not (tmp_path / "checkpoints").exists()


def test_scales_of_other_tables_are_refused(small_teachers):
    options = ["task=ilsvrc2012", "method=entropic_student", "method.latent_channels=6", "method.hyper_channels=8"]
    model = build_model(compose([*options, "method.prior=scale_hyperprior"]), small_teacher(16), ImageSpec(3, (96, 96)))
    state = without_tables(bottleneck("shp") | tail(16))
    state["bottleneck_layer.gaussian_conditional.scale_table"] = torch.linspace(0.11, 256, 64)
    with pytest.raises(CheckpointError, match="scales of other tables than ours"):
        load_published(model, state, "shp")


class Malicious:
    """What runs a command when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def test_code_in_a_checkpoint_is_refused_and_not_run(overrides, tmp_path, capsys):
    trace, state = tmp_path / "trace", bottleneck("fp") | tail(16)
    wrapped = {"model": state, "args": argparse.Namespace(hook=Malicious(trace))}
    torch.save(wrapped, tmp_path / "zip.pt")
    torch.save(wrapped, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"model": Malicious(trace)}, protocol=2))
    for name in ("zip.pt", "legacy.pth", "plain.pt"):
        line = complaint(["import-checkpoint", str(tmp_path / name), *overrides], capsys)
        assert line == (
            f"error: weights {tmp_path}/{name} are refused: they are damaged or hold pickled code, which is never run "
            "here (posix.system); save the tensors alone, as safetensors"
        )
        assert not trace.exists()
    assert not (tmp_path / "checkpoints").exists()
    # The file would have done it.
    pickle.loads((tmp_path / "plain.pt").read_bytes())
    assert trace.exists()


def test_weights_are_replaced_only_on_demand(overrides, tmp_path, capsys):
    file = published_file(tmp_path, "fp")
    folder = import_checkpoint(file, compose(overrides))
    (folder / "model.safetensors").write_bytes(b"precious")
    arguments = ["import-checkpoint", str(file), *overrides]
    assert complaint(arguments, capsys) == f"error: {folder} has weights already; add --force to replace them"
    assert (folder / "model.safetensors").read_bytes() == b"precious"
    with pytest.raises(SystemExit):
        app([*arguments, "--force"])
    assert load_file(folder / "model.safetensors").keys() == unique_state(sc2bench.load(folder)).keys()


def test_methods_without_published_weights_are_refused(tmp_path, capsys):
    line = complaint(
        ["import-checkpoint", str(tmp_path / "any.pt"), "task=fashion_mnist", "method=input_codec", "rate=9"], capsys
    )
    assert line.startswith(
        "error: method: 'input_codec' has no published checkpoints; choose one of channel_reduction,"
    )
    line = complaint(["import-checkpoint", str(tmp_path / "no.pt"), "task=fashion_mnist", "method=end_to_end"], capsys)
    assert line == f"error: weights {tmp_path}/no.pt are missing; give another file"
    untrained = ["task=fashion_mnist", "method=end_to_end", "stage1=null"]
    line = complaint(["import-checkpoint", str(tmp_path / "no.pt"), *untrained], capsys)
    assert line.startswith("error: stage1: null, so that `run` would measure random weights")
