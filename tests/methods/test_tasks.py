"""What every method must keep to for detection and segmentation too, on scenes of several sizes."""

import json
from pathlib import Path

import pytest
import torch

import sc2bench
from sc2bench.config import TaskConfig, compose
from sc2bench.core import registry
from sc2bench.core.errors import ConfigError
from sc2bench.data import load_dataset
from sc2bench.data.scenes import make_scenes
from sc2bench.methods import SplitModel, build_model
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.run import run_experiments
from sc2bench.teachers import load_teacher
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import MAX_IMAGE_SIDE, Packet, PacketError, SessionHeader

TASKS = {
    "classification": "image_classification",
    "detection": "object_detection",
    "segmentation": "semantic_segmentation",
}
BOTTLENECK = ["method.bottleneck=fp_scene", "method.latent_channels=4", "method.widths=[6,8,10]"]
VARIANTS = {
    "teacher": [],
    "input_codec": ["rate=30"],
    "entropic_student": ["rate=1", *BOTTLENECK],
    "end_to_end": ["rate=1", "method.prior=mean_scale_hyperprior", "method.hyper_channels=2", *BOTTLENECK],
    "channel_reduction": ["rate=3", "method.bottleneck=cr_scene", "method.starts_after=", "method.widths=[6,8,10]"],
    "entropy_bottleneck": ["recipe=ilsvrc2012_entropy_bottleneck", "rate=1", "method.after=layer1"],
    "feature_codec": ["rate=30", "method.after=layer1"],
    "neural_input_codec": [
        "rate=1",
        "method.layout=small",
        "method.weights=random",
        "method.channels=[4,6,2]",
        "recipe=fashion_mnist_neural_input_codec",
    ],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "few", train=16, validation=4, test=6)


def make(method: str, task: str, *overrides: str) -> SplitModel:
    torch.manual_seed(0)
    config = compose(
        [f"task=scenes_{task}", f"method={method}", *VARIANTS[method], *overrides, "teacher.weights=random"]
    )
    model = build_model(config, load_teacher(config.teacher).eval(), ImageSpec(3))
    model.update_tables()
    return model


def images_of(root: Path, task: str, count: int = 5):
    return load_dataset(TaskConfig(TASKS[task], "scenes", str(root)), "test").part(count)


def equal(first, second) -> bool:
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    return torch.equal(first, second)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
@pytest.mark.parametrize("method", VARIANTS)
class TestEveryMethod:
    def test_packets_of_images_of_any_size_carry_the_predictions(self, root, method, task):
        images, _ = images_of(root, task)[:5]
        assert len({image.shape for image in images}) > 1
        model = make(method, task)
        session = SessionHeader.from_bytes(model.session.to_bytes())
        assert session.has_size
        assert session.shape == ()
        packets = model.encode(images)
        # Sides below 128 take one byte each, 128 takes two.
        for packet, image in zip(packets, images, strict=True):
            size_bytes = sum(1 if side < 128 else 2 for side in image.shape[1:])
            sizes = packet.sizes(session)
            assert packet.size == tuple(image.shape[1:])
            assert sizes["side_info"] == size_bytes + len(packet.side_info)
            assert packet.image_size_bytes(session) == size_bytes
            assert sum(sizes.values()) == len(packet.to_bytes(session))
        server = make(method, task)
        server.session.require(session)
        received = [Packet.from_bytes(packet.to_bytes(session), session) for packet in packets]
        predictions = server.decode(received)
        assert len(predictions) == 5
        for alone, image, prediction in zip(images, images, predictions, strict=True):
            (own,) = model.decode(model.encode([alone]))
            if task == "segmentation":
                assert prediction.shape == image.shape[1:]
                assert (own == prediction).float().mean() > 0.999
            else:
                assert prediction["boxes"].shape == (len(prediction["scores"]), 4)
                assert torch.allclose(own["scores"][:5], prediction["scores"][:5], atol=1e-4)

    def test_training_path_gives_losses_and_features(self, root, method, task):
        dataset = images_of(root, task, 2)
        images, targets = dataset[:2]
        model = make(method, task).train()
        outputs = model(images, targets, ["layer1", "layer3"])
        assert set(outputs.features) == {"layer1", "layer3"}
        loss = registry.TASKS[TASKS[task]](dataset).loss(outputs.prediction, targets)
        assert loss.isfinite()
        loss.backward()
        assert any(parameter.grad is not None for parameter in model.server.parameters())


@pytest.mark.slow
def test_one_encoder_sends_the_same_bytes_for_three_tasks(root, tmp_path):
    places = [f"output={tmp_path}/results", f"checkpoints={tmp_path}/checkpoints"]
    short = ["stage1.epochs=1", "stage2.epochs=1", "stage1.batch_size=4", "stage2.batch_size=4", *BOTTLENECK]
    common = [f"task.root={root}", "teacher.weights=random", "evaluation.batch_size=3", "mixed_precision=no"]

    def student(task: str) -> list[str]:
        own = ["rate=0.1", f"task=scenes_{task}", "method=entropic_student", *short, *common]
        if task == "classification":
            return own
        return [*own, "stage1.samples=null", "stage2.samples=null", f"source={list_of(student('classification'))}"]

    members = f"members=[{','.join(list_of(student(task)) for task in TASKS)}]"
    overrides = [*places, "rate=0.1", "task=scenes_all", "method=multi_task", members, *common]
    run = Experiment(compose(overrides))
    # Nothing was trained before: whatever the record builds on is trained first, each part once.
    assert len(run.untrained()) == 3
    (path,) = run_experiments([run], quiet=True)
    record = json.loads(path.read_text())
    assert {"top1", "map", "miou"} <= set(record["quality"])
    assert record["samples"] == 6
    measured = sc2bench.evaluate(sc2bench.train(overrides, quiet=True), "scenes_all", overrides=common)
    assert measured.quality == pytest.approx(record["quality"], abs=1e-3)
    assert measured.bytes.mean() == pytest.approx(record["bytes_mean"])
    sizes = {record["bytes_mean"]}
    for task in TASKS:
        (path,) = run_experiments([Experiment(compose([*places, *student(task)]))], quiet=True)
        single = json.loads(path.read_text())
        sizes.add(single["bytes_mean"])
        for name, value in single["quality"].items():
            assert record["quality"][name] == pytest.approx(value, abs=1e-3)
    assert len(sizes) == 1


def test_teachers_of_members_have_the_classes_of_their_data(root):
    teachers = {"classification": "resnet18", "segmentation": "fcn_resnet50"}
    own = ["method=entropic_student", "rate=1", "method.bottleneck=fp_resnet", "method.widths=[16,8]"]
    own += [f"task.root={root}", "teacher.weights=random", "teacher.library=torchvision"]
    members = [list_of([f"task=scenes_{task}", f"teacher.name={name}", *own]) for task, name in teachers.items()]
    common = ["task=scenes_all", "method=multi_task", f"task.root={root}", "teacher.weights=random", "rate=1"]
    model = sc2bench.build([*common, f"members=[{','.join(members)}]"])
    tails = model.server.tails
    assert tails["image_classification"].tail.fc.out_features == 10
    assert tails["semantic_segmentation"].head.classes == 11


def test_members_must_learn_what_they_send(root):
    places = [f"task.root={root}", "teacher.weights=random"]
    members = [
        list_of([f"task=scenes_{task}", "method=feature_codec", "rate=30", *places])
        for task in ("classification", "segmentation")
    ]
    overrides = ["task=scenes_all", "method=multi_task", "rate=1", *places, f"members=[{','.join(members)}]"]
    with pytest.raises(ConfigError, match="method 'feature_codec' sends no latents that it learns; choose entropic_"):
        sc2bench.build(overrides)


def list_of(overrides: list[str]) -> str:
    """Overrides as a list on the command line, where they must be quoted."""
    escaped = (text.replace("\\", "\\\\").replace('"', '\\"') for text in overrides)
    return "[" + ",".join(f'"{text}"' for text in escaped) + "]"


def test_a_head_that_needs_what_stays_on_the_device_is_refused():
    with pytest.raises(ConfigError, match="head takes the output of 'layer1', which a cut behind 'layer2' leaves on"):
        make("entropy_bottleneck", "detection", "method.after=layer2")


def test_sizes_out_of_bounds_are_refused():
    model = make("input_codec", "detection")
    (packet,) = model.encode([torch.zeros(3, 96, 128, dtype=torch.uint8)])
    data = bytearray(packet.to_bytes(model.session))
    with pytest.raises(PacketError, match=f"a side has 1 ... {MAX_IMAGE_SIDE}"):
        Packet.from_bytes(Packet(packet.payload, size=(9000, 9000)).to_bytes(model.session), model.session)
    with pytest.raises(PacketError, match="does not say how large its image is"):
        model.decode([Packet(packet.payload)])
    with pytest.raises(PacketError):
        model.decode([Packet(bytes(data[5:40]), size=(96, 128))])
