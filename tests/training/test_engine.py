"""A run can be killed at any moment and goes on as if it had not been."""

import json
import multiprocessing
import random
import time
from dataclasses import replace

import pytest
import torch
import toy
from PIL import Image
from safetensors.torch import load_file

from fer_models import checkpoints
from fer_models.calibration import Calibration
from fer_models.checkpoints import load_card, load_network, save_card, save_checkpoint
from fer_models.official import LICENCE, import_official
from training import engine
from training.distributed import Workers
from training.engine import Diverged, NotFinished, Run, has_bfloat16
from training.recipe import Recipe

# One import of torch serves every child; a fork of this process could inherit a held lock.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["training.engine", "matplotlib.backends.backend_agg"])
LONGER = {"epochs": [8.0]}
CPU = torch.device("cpu")


def without_minutes(folder) -> list[str]:
    lines = (folder / "history.csv").read_text().splitlines()
    return [line.rpartition(",")[0] for line in lines]


def train_on_the_cpu(folder, bfloat16, resume=False, minutes=None, **changes) -> Run:
    recipe, faces = toy.make_recipe(**changes), toy.make_faces()
    run = Run(
        recipe,
        faces,
        toy.make_faces(40, 1),
        folder,
        resume=resume,
        bfloat16=bfloat16,
        workers=Workers(device=CPU),
    )
    run.train(minutes)
    return run


def start_and_wait_for_a_save(folder):
    """A child that trains in a folder, as soon as it has saved its state once more."""
    state = folder / "state.pt"
    before = state.stat().st_mtime_ns if state.is_file() else 0
    child = PROCESSES.Process(target=toy.train, args=(folder, True), kwargs=LONGER)
    child.start()
    deadline = time.monotonic() + 180
    while child.is_alive() and not (state.is_file() and state.stat().st_mtime_ns != before):
        assert time.monotonic() < deadline, "the child never saved"
        time.sleep(0.001)
    return child


def test_a_run_killed_at_random_points_ends_bit_for_bit_like_an_unbroken_one(tmp_path):
    steps = toy.train(tmp_path / "unbroken", **LONGER).total_steps
    folder, pause, stood_at = tmp_path / "killed", random.Random(4), []
    for _ in range(8):  # anywhere: within a step, a validation, a save, or the export
        child = start_and_wait_for_a_save(folder)
        child.join(pause.uniform(0, 0.03))
        child.kill()
        child.join()
        stood_at.append(torch.load(folder / "state.pt")["step"])
    last = PROCESSES.Process(target=toy.train, args=(folder, True), kwargs=LONGER)
    last.start()
    last.join()
    assert last.exitcode == 0
    assert len({step for step in stood_at if step < steps}) >= 3, f"killed too late: {stood_at}"
    killed, unbroken = (load_file(tmp_path / f / "toy.safetensors") for f in ("killed", "unbroken"))
    assert all(torch.equal(killed[name], unbroken[name]) for name in unbroken)
    assert without_minutes(folder) == without_minutes(tmp_path / "unbroken")


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "adam", "lr": 0.01, "sam_rho": 0.05, "schedule": "step", "balance": 0.5}],
    ids=["sgd", "sam"],
)
def test_a_run_stopped_by_its_budget_ends_bit_for_bit_like_an_unbroken_one(tmp_path, changes):
    whole = toy.train(tmp_path / "unbroken", epochs=[2.0], **changes)
    stops = 0
    while True:
        try:
            stopped = toy.train(tmp_path / "stopped", True, minutes=0, epochs=[2.0], **changes)
            break
        except NotFinished:
            stops += 1
    assert stops == whole.total_steps - 1
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, stopped.network.state_dict()[name]), name


def test_a_half_written_state_is_never_taken_for_a_whole_one(tmp_path, monkeypatch):
    with pytest.raises(NotFinished):
        toy.train(tmp_path, minutes=0)
    before = (tmp_path / "state.pt").read_bytes()

    def write_half(state, path):
        path.write_bytes(before[: len(before) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", write_half)
    with pytest.raises(KeyboardInterrupt):
        toy.train(tmp_path, resume=True, minutes=0)
    monkeypatch.undo()
    assert (tmp_path / "state.pt").read_bytes() == before
    (tmp_path / ".state.pt.1.tmp").write_bytes(before[:100])  # what a SIGKILL leaves behind
    assert toy.train(tmp_path, resume=True).step == 24


def test_a_truncated_state_is_refused_and_named(tmp_path):
    with pytest.raises(NotFinished):
        toy.train(tmp_path, minutes=0)
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:-200])
    with pytest.raises(ValueError, match="state.pt"):
        toy.train(tmp_path, resume=True)


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    with pytest.raises(NotFinished):
        toy.train(tmp_path, minutes=0)
    with pytest.raises(ValueError, match="--resume"):
        toy.train(tmp_path)


def test_a_state_of_another_recipe_is_refused(tmp_path):
    with pytest.raises(NotFinished):
        toy.train(tmp_path, minutes=0)
    with pytest.raises(ValueError, match="another recipe"):
        toy.train(tmp_path, resume=True, lr=0.01)


def test_a_bfloat16_run_learns_and_goes_on_bit_for_bit(tmp_path):
    whole = train_on_the_cpu(tmp_path / "unbroken", True, epochs=[6.0])
    assert whole.history[-1]["validation_accuracy"] > 0.9
    with pytest.raises(NotFinished):
        train_on_the_cpu(tmp_path / "stopped", True, minutes=0, epochs=[6.0])
    stopped = train_on_the_cpu(tmp_path / "stopped", True, resume=True, epochs=[6.0])
    other = train_on_the_cpu(tmp_path / "float32", False, epochs=[6.0])
    for name, value in whole.network.state_dict().items():
        assert value.isfinite().all() and value.dtype != torch.bfloat16
        assert torch.equal(value, stopped.network.state_dict()[name]), name
    weight = whole.network.trunk[0].weight
    assert not torch.equal(weight, other.network.trunk[0].weight)


@pytest.mark.parametrize("bfloat16, fix", [(True, "add --bfloat16"), (False, "leave --bfloat16")])
def test_a_state_of_another_precision_is_refused_with_the_fix(tmp_path, bfloat16, fix):
    with pytest.raises(NotFinished):
        train_on_the_cpu(tmp_path, bfloat16, minutes=0)
    with pytest.raises(ValueError, match=fix):
        train_on_the_cpu(tmp_path, not bfloat16, resume=True)


def test_a_state_that_does_not_say_its_precision_is_one_of_float32(tmp_path):
    with pytest.raises(NotFinished):
        train_on_the_cpu(tmp_path, False, minutes=0)
    state = torch.load(tmp_path / "state.pt")
    del state["bfloat16"], state["origins"]  # as earlier versions wrote it
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(ValueError, match="made in float32"):
        train_on_the_cpu(tmp_path, True, resume=True)
    assert train_on_the_cpu(tmp_path, False, resume=True).is_finished


@pytest.mark.skipif(not has_bfloat16(Workers().device), reason="needs a GPU with bfloat16")
def test_on_a_gpu_mixed_precision_is_finite_and_goes_on_after_a_save(tmp_path):
    with pytest.raises(NotFinished):
        toy.train(tmp_path, minutes=0, epochs=[1.0])
    run = toy.train(tmp_path, resume=True, epochs=[1.0])
    assert run.device.type == "cuda" and run.bfloat16 and run.is_finished
    assert (
        torch.tensor([run.history[-1][k] for k in ("train_loss", "validation_loss")])
        .isfinite()
        .all()
    )
    assert "bfloat16" in load_card(tmp_path / "toy.safetensors").training["precision"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "lr": 0.02},
        {"optimizer": "adamw", "lr": 0.02, "schedule": "cosine"},
        {"sam_rho": 0.05, "schedule": "exponential", "gamma": 0.8},
        {"crop": True, "sizes": [10], "test_size": 12, "schedule": "step", "decay_every": 5.0},
        {"attention_loss": "paper", "balance": 0.5, "test_flip": True},
    ],
    ids=lambda changes: " ".join(changes) or "defaults",
)
def test_a_problem_that_can_be_learned_is_learned(tmp_path, changes):
    run = toy.train(tmp_path, epochs=[12.0], **changes)
    assert run.history[-1]["validation_accuracy"] > 0.9
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    assert [row["step"] for row in run.history] == [6 * n for n in range(1, 13)]


def test_the_card_holds_what_made_the_checkpoint(tmp_path):
    toy.train(tmp_path)
    card = json.loads((tmp_path / "toy.json").read_text())
    assert card["training"]["recipe"] == toy.make_recipe().to_dict()
    assert card["training"]["steps"] == 24
    assert card["training"]["images"] == 96
    assert card["labels"] == list(toy.EXPRESSIONS)
    assert card["licence"].startswith("Weights: whatever the terms")  # "toy" is no known data set
    loaded = load_network(tmp_path / "toy.safetensors").network
    assert sum(p.numel() for p in loaded.parameters()) == card["parameters"]


def save_start(folder, labels=toy.EXPRESSIONS, licence="") -> tuple[torch.nn.Module, str]:
    """A checkpoint from which training can start: its network and its file."""
    recipe = toy.make_recipe(seed=5)
    network = engine.build_network(recipe, labels)
    save_checkpoint(
        network,
        folder,
        name="start",
        network="toy",
        arguments={},
        labels=labels,
        preprocessing=recipe.preprocessing,
        calibration=Calibration.none(len(labels)),
        licence=licence,
    )
    return network, str(folder / "start.safetensors")


def test_init_fills_what_fits_and_leaves_the_rest(tmp_path):
    network, file = save_start(tmp_path, toy.EXPRESSIONS[:3])
    started = engine.build_network(toy.make_recipe(init=file), toy.EXPRESSIONS)
    kept = network.trunk[0].weight.half().float()
    assert torch.equal(started.trunk[0].weight, kept)
    assert started.head.fc.weight.shape == (4, toy.CHANNELS)


def test_a_card_records_the_training_of_what_the_run_started_from(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    toy.train(first)
    start = load_card(first / "toy.safetensors")
    chained = {"init": str(first / "toy.safetensors"), "seed": 1}
    with pytest.raises(NotFinished):
        toy.train(second, minutes=0, **chained)
    other = replace(start, training={**start.training, "steps": 0})
    save_card(other, first / "toy.json")  # meanwhile another checkpoint takes the name
    toy.train(second, resume=True, **chained)
    training = load_card(second / "toy.safetensors").training
    assert training["before"] == start.training
    assert training["sources_sha256"] == {chained["init"]: start.sha256}
    assert "before" not in start.training and "note" not in training


def test_the_average_is_the_one_made_by_hand_and_starts_anew_in_each_phase(tmp_path):
    recipe = toy.make_recipe(
        sizes=[10, 12], epochs=[3.0, 1.0], stem_strides=[1, 1], ema_decay=0.5, test_size=12
    )
    run = Run(recipe, toy.make_faces(), toy.make_faces(40, 1), tmp_path)
    by_hand = {k: v.clone().double() for k, v in run.averaged.state_dict().items()}
    decays = []
    for phase in run.phases:
        for done in range(1, 1 + phase.stop - phase.start):
            run.train_step(phase)
            decays.append(min(0.5, (1 + done) / (10 + done)))
            for name, value in run.network.state_dict().items():
                by_hand[name] = decays[-1] * by_hand[name] + (1 - decays[-1]) * value
    assert len(decays) == 24 and decays[16:] == [0.5, 0.5, *decays[:6]]
    for name, value in run.averaged.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), by_hand[name], atol=1e-5), name
    assert not torch.equal(run.averaged.trunk[0].weight, run.network.trunk[0].weight)


def test_phases_follow_each_other():
    recipe = toy.make_recipe(sizes=[8, 12], epochs=[2.0, 0.5], stem_strides=[2, 1])
    phases = engine.plan_phases(recipe, steps_per_epoch=10)
    assert [(p.start, p.stop, p.size, p.stem_stride) for p in phases] == [
        (0, 20, 8, 2),
        (20, 25, 12, 1),
    ]


def test_balanced_sampling_draws_rare_expressions_oftener():
    faces = toy.make_faces(400)
    rare = (faces.labels != 0) | (torch.arange(400).numpy() % 10 == 0)
    faces = faces.subset(rare)
    weights = engine.sampling_weights(faces, balance=1.0)
    shares = weights @ faces.targets
    assert shares == pytest.approx([0.25] * 4, abs=1e-6)
    plain = engine.sampling_weights(faces, balance=0.0)
    assert plain == pytest.approx([1 / len(faces)] * len(faces))


def test_an_epoch_without_balance_shows_every_face_once():
    order = engine.epoch_order(engine.sampling_weights(toy.make_faces(), 0.0), 0.0, seed=0, epoch=3)
    assert sorted(order) == list(range(96))


def test_runs_of_different_seeds_differ(tmp_path):
    one, two = toy.train(tmp_path / "0"), toy.train(tmp_path / "1", seed=1)
    assert isinstance(one, Run)
    assert one.history[0]["train_loss"] != two.history[0]["train_loss"]


def test_a_run_leaves_its_history_curves_and_confusion_matrix(tmp_path):
    toy.train(tmp_path)
    header, *rows = (tmp_path / "history.csv").read_text().splitlines()
    assert header.split(",") == list(engine.HISTORY_COLUMNS)
    assert len(rows) == 4
    for name in ("curves.png", "confusion.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 400


def test_the_test_size_is_the_checkpoints_input_size(tmp_path):
    run = toy.train(tmp_path, crop=True, sizes=[10], test_size=12)
    assert run.history[0]["size"] == 10
    assert load_card(tmp_path / "toy.safetensors").preprocessing.size == 12


def test_a_run_whose_head_would_not_fit_its_last_map_is_refused_before_it_starts(tmp_path):
    faces = toy.make_faces()
    recipe = Recipe(network="mfn", sizes=[64])
    with pytest.raises(ValueError, match="4x4 cells.*test_size"):
        engine.Run(recipe, faces, faces, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_official_start_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", tmp_path)
    with pytest.raises(ValueError, match="checkpoints --download official-mfn"):
        engine.build_network(toy.make_recipe(init="official-mfn"), toy.EXPRESSIONS)


def test_a_ddamfn_starts_from_the_trunk_that_the_authors_published(
    golden_folder, monkeypatch, tmp_path
):
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", tmp_path)
    import_official(golden_folder / "mfn_published_format.pth", tmp_path, "official-mfn")
    published = load_network("official-mfn").network.trunk.state_dict()
    started = engine.build_network(Recipe(network="ddamfn", init="official-mfn"), toy.EXPRESSIONS)
    for name, value in started.trunk.state_dict().items():
        assert torch.equal(value, published[name]), name
    sha256 = load_card("official-mfn").sha256
    origins = engine.find_origins(Recipe(network="ddamfn", init="official-mfn"))
    assert origins == {"sources_sha256": {"official-mfn": sha256}}


def test_a_state_of_other_training_faces_is_refused(tmp_path):
    toy.train(tmp_path)
    recipe, others = toy.make_recipe(), toy.make_faces(95)
    with pytest.raises(ValueError, match="other training faces"):
        Run(recipe, others, toy.make_faces(40, 1), tmp_path, resume=True)


def test_every_epoch_has_an_order_of_its_own_and_its_own_row_of_training_loss(tmp_path):
    weights = engine.sampling_weights(toy.make_faces(), 0.0)
    first, second = (engine.epoch_order(weights, 0.0, seed=0, epoch=epoch) for epoch in (0, 1))
    assert first.tolist() != second.tolist()
    recipe = toy.make_recipe(epochs=[2.0])
    run = Run(recipe, toy.make_faces(), toy.make_faces(40, 1), tmp_path)
    losses = []

    def spy(*batch, objective=run.objective):
        loss, logits = objective(*batch)
        losses.append(loss.item())
        return loss, logits

    run.objective = spy
    run.train()
    half = len(losses) // 2
    expected = [sum(part) / half for part in (losses[:half], losses[half:])]
    assert [row["train_loss"] for row in run.history] == pytest.approx(expected, abs=1e-4)


def test_gradients_are_clipped_to_the_recipes_norm(tmp_path):
    recipe = toy.make_recipe(clip_norm=1e-3)
    run = Run(recipe, toy.make_faces(), toy.make_faces(40, 1), tmp_path)
    run.train_step(run.phases[0])
    norms = [p.grad.norm() for p in run.network.parameters() if p.grad is not None]
    assert torch.stack(norms).norm().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("key", ["init", "teacher"])
def test_weights_made_from_the_authors_are_for_ones_own_use_as_theirs_are(tmp_path, key):
    _, theirs = save_start(tmp_path, licence=LICENCE)
    source = {key: [theirs] if key == "teacher" else theirs, "epochs": [1.0]}
    with pytest.raises(NotFinished):
        toy.train(tmp_path / "first", minutes=0, **source)
    save_card(replace(load_card(theirs), licence="free"), tmp_path / "start.json")  # meanwhile
    toy.train(tmp_path / "first", resume=True, **source)
    ours = tmp_path / "first" / "toy.safetensors"
    assert load_card(ours).licence == LICENCE
    toy.train(tmp_path / "second", epochs=[1.0], init=str(ours))
    assert load_card(tmp_path / "second" / "toy.safetensors").licence == LICENCE


def test_a_free_start_and_a_part_leave_the_licence_that_the_data_give(tmp_path):
    _, start = save_start(tmp_path, licence="free")
    recipe = toy.make_recipe(init=start)
    run = Run(recipe, toy.make_faces(), toy.make_faces(40, 1), tmp_path / "run")
    run.train_step(run.phases[0])
    run._end_row(run.phases[0])
    card = run.export("toy", "ferplus#subset")
    assert card.licence == engine.LICENCES["ferplus"]
    assert card.training["data"] == "ferplus#subset"


def break_step(monkeypatch, wanted: int, spoil) -> None:
    """Let `spoil(run)` go wrong right after a step of every run."""
    train_step = Run.train_step

    def broken(run, phase):
        train_step(run, phase)
        if run.step == wanted:
            spoil(run)

    monkeypatch.setattr(Run, "train_step", broken)


def lose_the_loss(run: Run) -> None:
    run.running[0] = torch.nan


def lose_a_weight(run: Run) -> None:
    run.averaged.trunk[0].weight.data[0, 0, 0, 0] = torch.inf


@pytest.mark.parametrize("spoil", [lose_the_loss, lose_a_weight])
@pytest.mark.parametrize("step", [9, 12], ids=["within a row", "at its end"])
def test_a_run_that_diverges_stops_and_keeps_its_last_good_state(
    tmp_path, monkeypatch, spoil, step
):
    break_step(monkeypatch, step, spoil)
    with pytest.raises(Diverged, match=rf"by step {step}, with an lr of 0.1 .*--set lr=0.01"):
        toy.train(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"state.pt", "history.csv"}
    state = torch.load(tmp_path / "state.pt")
    assert (state["step"], len(state["history"])) == (step - 1, 1)
    assert state["running"].isfinite().all()
    assert all(value.isfinite().all() for value in state["averaged"].values())


def test_a_rate_that_is_far_too_high_is_told_so(tmp_path):
    with pytest.raises(Diverged, match="--set clip_norm=1"):
        toy.train(tmp_path, lr=1e6, clip_norm=0.0)
    assert not (tmp_path / "toy.safetensors").exists()


def test_a_finished_state_of_no_numbers_is_not_exported(tmp_path):
    run = toy.train(tmp_path)
    before = (tmp_path / "toy.safetensors").read_bytes()
    run.averaged.head.fc.weight.data.fill_(torch.nan)
    with pytest.raises(Diverged):
        run.export("toy", "toy")
    assert (tmp_path / "toy.safetensors").read_bytes() == before


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_only_emulates_bfloat16_trains_in_float32(monkeypatch, native):
    def is_bf16_supported(including_emulation=True):
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert has_bfloat16(torch.device("cuda", 0)) == native
    assert not has_bfloat16(CPU)


@pytest.mark.parametrize(
    ("bfloat16", "capabilities", "warned"),
    [
        (True, {"avx2": True, "avx512_bf16": False, "amx_bf16": False}, True),
        (True, {"avx2": True, "avx512_bf16": True, "amx_bf16": False}, False),
        (False, {"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
    ],
)
def test_bfloat16_on_a_cpu_that_only_emulates_it_is_warned_of(
    tmp_path, monkeypatch, caplog, bfloat16, capabilities, warned
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    with pytest.raises(NotFinished):
        train_on_the_cpu(tmp_path, bfloat16, minutes=0)
    assert ("leave it out of a new run" in caplog.text) == warned


def test_without_minutes_the_processes_need_not_agree_at_every_step(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Workers, "agree", lambda _, decision: asked.append(decision) or decision)
    run = toy.train(tmp_path / "whole")
    assert not asked
    toy.train(tmp_path / "in time", minutes=10.0)
    assert asked == [False] * run.total_steps
