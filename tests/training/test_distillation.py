"""Teachers: what they say, in whose order, and that a student learns it."""

from types import SimpleNamespace

import pytest
import torch
import toy

from fer_models.calibration import Calibration
from fer_models.checkpoints import save_checkpoint
from tests.conftest import require_packages
from training import engine
from training.distillation import Teachers, teach_once
from training.distributed import Workers
from training.engine import Run, build_network
from training.losses import distillation_loss

CPU = torch.device("cpu")


def save_teacher(folder, name="teacher", labels=toy.EXPRESSIONS, seed=0, **changes):
    recipe = toy.make_recipe(seed=seed, **changes)
    network = build_network(recipe, labels)
    save_checkpoint(
        network,
        folder,
        name=name,
        network="toy",
        arguments={},
        labels=labels,
        preprocessing=recipe.preprocessing,
        calibration=Calibration.none(len(labels)),
    )
    return str(folder / f"{name}.safetensors")


def images_of(recipe):
    return recipe.preprocessing.enlarge(torch.from_numpy(toy.make_faces(6).crops))


def test_a_student_that_agrees_with_its_teacher_loses_nothing():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert distillation_loss(logits, torch.softmax(logits / 3, 1), 3.0).item() == pytest.approx(
        0, abs=1e-6
    )


def test_the_divergence_of_a_case_solved_by_hand():
    taught = torch.tensor([[1.0, 0.0]])
    loss = distillation_loss(torch.tensor([[0.0, 0.0]]), taught, 2.0)
    assert loss.item() == pytest.approx(4 * torch.log(torch.tensor(2.0)).item())


def test_a_lone_teacher_answers_as_it_does_in_an_evaluation(tmp_path):
    recipe = toy.make_recipe(teacher=[save_teacher(tmp_path)], teacher_temperature=1.0)
    teachers = Teachers(recipe, toy.EXPRESSIONS, CPU)
    network, _, _ = teachers.members[0]
    images = images_of(recipe)
    assert torch.allclose(teachers(images), torch.softmax(network(images), 1), atol=1e-6)


def test_a_teacher_answers_in_the_students_precision(tmp_path):
    recipe = toy.make_recipe(teacher=[save_teacher(tmp_path)])
    images = images_of(recipe)
    exact = Teachers(recipe, toy.EXPRESSIONS, CPU)(images)
    mixed = Teachers(recipe, toy.EXPRESSIONS, CPU, bfloat16=True)(images)
    assert not torch.equal(mixed, exact)
    assert torch.allclose(mixed, exact, atol=1e-2)
    faces = toy.make_faces()
    run = Run(recipe, faces, faces, tmp_path / "run", bfloat16=True, workers=Workers(device=CPU))
    assert run.teachers.bfloat16


def test_several_teachers_are_averaged(tmp_path):
    names = [save_teacher(tmp_path, f"t{seed}", seed=seed) for seed in (0, 1)]
    answers = [
        Teachers(toy.make_recipe(teacher=chosen), toy.EXPRESSIONS, CPU)(
            images_of(toy.make_recipe())
        )
        for chosen in ([names[0]], [names[1]], names)
    ]
    assert torch.allclose(answers[2], (answers[0] + answers[1]) / 2, atol=1e-6)


def test_a_teachers_labels_are_reordered_by_name(tmp_path):
    backwards = toy.EXPRESSIONS[::-1]
    recipe = toy.make_recipe(teacher=[save_teacher(tmp_path, labels=backwards)])
    images = images_of(recipe)
    theirs = Teachers(recipe, backwards, CPU)(images)
    ours = Teachers(recipe, toy.EXPRESSIONS, CPU)(images)
    assert torch.allclose(ours, theirs.flip(1))


def test_a_teacher_sees_the_size_and_light_that_it_was_trained_on(tmp_path):
    name = save_teacher(tmp_path, sizes=[20], mean=0.3, std=0.5)
    recipe = toy.make_recipe(teacher=[name], teacher_temperature=1.0)
    teachers = Teachers(recipe, toy.EXPRESSIONS, CPU)
    network, preprocessing, _ = teachers.members[0]
    expected = network(preprocessing.enlarge(torch.from_numpy(toy.make_faces(6).crops)))
    assert torch.allclose(teachers(images_of(recipe)), torch.softmax(expected, 1), atol=1e-4)


def test_a_teacher_that_lacks_an_expression_is_refused(tmp_path):
    name = save_teacher(tmp_path, labels=toy.EXPRESSIONS[:3])
    with pytest.raises(ValueError, match="does not know surprise"):
        Teachers(toy.make_recipe(teacher=[name]), toy.EXPRESSIONS, CPU)


def test_a_teacher_of_colour_is_refused_for_grey_faces(tmp_path):
    name = save_teacher(tmp_path, grey=False)
    with pytest.raises(ValueError, match="grey"):
        Teachers(toy.make_recipe(teacher=[name]), toy.EXPRESSIONS, CPU)


def test_a_student_of_a_good_teacher_learns_without_any_label(tmp_path):
    toy.train(tmp_path / "teacher", epochs=[12.0])
    name = str(tmp_path / "teacher" / "toy.safetensors")
    student = toy.train(
        tmp_path / "student", epochs=[12.0], teacher=[name], teacher_weight=1.0, seed=3
    )
    assert student.history[-1]["validation_accuracy"] > 0.9


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder for compiled teachers, which would otherwise stay in the user's; and no GPU."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path / "cache"


@pytest.mark.parametrize("engine_name", ["torch", "openvino"])
def test_teachers_asked_once_say_the_same_of_plain_faces(tmp_path, monkeypatch, cache, engine_name):
    if engine_name == "openvino":
        require_packages("openvino")
    monkeypatch.setenv("FER_MODELS_ENGINE", engine_name)
    backwards = save_teacher(tmp_path, "backwards", labels=toy.EXPRESSIONS[::-1], seed=1)
    recipe = toy.make_recipe(teacher=[save_teacher(tmp_path), backwards], teacher_sees="plain")
    expected = Teachers(recipe, toy.EXPRESSIONS, CPU)(images_of(recipe))
    found = teach_once(recipe, toy.make_faces(6), toy.EXPRESSIONS)
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_compiled_teacher_answers_in_the_students_precision(tmp_path, cache):
    require_packages("openvino")
    recipe = toy.make_recipe(teacher=[save_teacher(tmp_path)], teacher_sees="plain")
    faces = toy.make_faces(6)
    exact = teach_once(recipe, faces, toy.EXPRESSIONS)
    mixed = teach_once(recipe, faces, toy.EXPRESSIONS, bfloat16=True)
    assert torch.allclose(mixed, exact, atol=2e-2)
    assert len(list(cache.rglob("*.blob"))) == 2  # one model each


def test_each_face_gets_what_was_said_of_it(tmp_path, cache):
    recipe = toy.make_recipe(teacher=[save_teacher(tmp_path)], teacher_sees="plain")
    faces = toy.make_faces()
    run = Run(recipe, faces, faces, tmp_path / "run", workers=Workers(device=CPU))
    run.step = 7
    lesson = run._lesson(run.images_and_targets(12)[0])
    expected = teach_once(recipe, faces.subset(run._batch(7)), toy.EXPRESSIONS)
    assert torch.allclose(lesson, expected, atol=1e-6)


def test_a_run_that_goes_on_does_not_ask_again(tmp_path, monkeypatch, cache):
    changes = {"teacher": [save_teacher(tmp_path)], "teacher_sees": "plain"}
    whole = toy.train(tmp_path / "whole", **changes)
    with pytest.raises(engine.NotFinished):
        toy.train(tmp_path / "parts", minutes=0, **changes)
    monkeypatch.setattr(engine, "teach_once", None)
    parts = toy.train(tmp_path / "parts", resume=True, **changes)
    expected = whole.network.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in parts.network.state_dict().items())


def test_a_run_does_not_go_on_under_another_teacher(tmp_path):
    changes = {"teacher": [save_teacher(tmp_path)]}
    with pytest.raises(engine.NotFinished):
        toy.train(tmp_path / "run", minutes=0, **changes)
    save_teacher(tmp_path, seed=5)
    with pytest.raises(ValueError, match="taught by other weights of .*teacher.safetensors"):
        toy.train(tmp_path / "run", resume=True, **changes)


def test_the_minutes_that_teachers_take_are_counted(tmp_path, monkeypatch, cache):
    answers = torch.full((96, 4), 0.25)
    clock = iter(range(0, 6000, 600))
    monkeypatch.setattr(engine, "teach_once", lambda *_: answers)
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    recipe = toy.make_recipe(teacher=[save_teacher(tmp_path)], teacher_sees="plain")
    faces = toy.make_faces()
    assert Run(recipe, faces, faces, tmp_path / "run", workers=Workers(device=CPU)).minutes == 10


def test_a_student_of_a_teacher_asked_once_learns_without_any_label(tmp_path, cache):
    toy.train(tmp_path / "teacher", epochs=[12.0])
    name = str(tmp_path / "teacher" / "toy.safetensors")
    student = toy.train(
        tmp_path / "student",
        epochs=[12.0],
        teacher=[name],
        teacher_weight=1.0,
        teacher_sees="plain",
        seed=3,
    )
    assert student.history[-1]["validation_accuracy"] > 0.9
