"""Folds are even and stay apart; a broken-off cross-validation goes on."""

import numpy as np
import pytest
import toy

from training import crossval
from training.crossval import run_fold, stratified_folds
from training.engine import NotFinished, deadline_in
from training.metrics import Metrics


def test_every_expression_is_dealt_evenly_over_the_folds():
    labels = np.repeat([0, 1, 2, 3], [57, 3, 21, 40])
    numbers = stratified_folds(labels, 10)
    counts = np.array([[(numbers[labels == k] == f).sum() for f in range(10)] for k in range(4)])
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    sizes = counts.sum(axis=0)
    assert sizes.sum() == 121 and sizes.max() - sizes.min() <= 1


def test_faces_without_a_label_belong_to_no_fold():
    numbers = stratified_folds(np.array([0, -1, 1, 0, -1]), 2)
    assert (numbers[[1, 4]] == -1).all() and (numbers[[0, 2, 3]] >= 0).all()


def test_the_folds_depend_on_nothing_but_labels_and_seed():
    labels = toy.make_faces().labels
    assert (stratified_folds(labels, 5) == stratified_folds(labels, 5)).all()
    assert (stratified_folds(labels, 5) != stratified_folds(labels, 5, seed=1)).any()


def test_a_fold_measures_faces_that_it_has_not_trained_on(tmp_path, monkeypatch):
    faces, seen = toy.make_faces(), {}
    numbers = stratified_folds(faces.labels, 3)

    class SpiedRun(crossval.Run):
        def __init__(self, recipe, train_faces, held_out, *arguments, **options):
            seen["train"], seen["held out"] = set(train_faces.names), set(held_out.names)
            super().__init__(recipe, train_faces, held_out, *arguments, **options)

    monkeypatch.setattr(crossval, "Run", SpiedRun)
    recipe = toy.make_recipe(epochs=[8.0])
    metrics = run_fold(recipe, faces, numbers, 1, tmp_path, "toy", None)
    assert seen["held out"] == {
        n for n, fold in zip(faces.names, numbers, strict=True) if fold == 1
    }
    assert not seen["train"] & seen["held out"]
    assert len(seen["train"] | seen["held out"]) == len(faces)
    assert metrics.n == 32 and metrics.accuracy > 0.5


def test_a_fold_goes_on_where_it_stood_and_a_finished_one_is_not_run_again(tmp_path, monkeypatch):
    faces = toy.make_faces()
    arguments = (toy.make_recipe(), faces, stratified_folds(faces.labels, 3), 0, tmp_path, "toy")
    with pytest.raises(NotFinished):
        run_fold(*arguments, 0)
    first = run_fold(*arguments, None)
    monkeypatch.setattr(crossval, "Run", None)
    assert run_fold(*arguments, None) == first


def run_first_fold(folder, minutes, folds=3, count=96, kind="toy", bfloat16=False, **changes):
    faces = toy.make_faces(count)
    recipe, numbers = (
        toy.make_recipe(epochs=[1.0], **changes),
        stratified_folds(faces.labels, folds),
    )
    return run_fold(recipe, faces, numbers, 0, folder, kind, deadline_in(minutes), bfloat16)


@pytest.mark.parametrize(
    "changes, other",
    [
        ({"lr": 0.3}, "another recipe;"),
        ({"folds": 4}, "another number of folds;"),
        ({"count": 80}, "another number of images;"),
        ({"kind": "rafdb"}, "another data;"),
        ({"bfloat16": True}, "another use of --bfloat16;"),
    ],
)
def test_a_fold_that_another_run_began_is_not_gone_on_with(tmp_path, changes, other):
    with pytest.raises(NotFinished):
        run_first_fold(tmp_path, 0)
    with pytest.raises(ValueError, match=rf"fold-01/metrics.json was made by {other}"):
        run_first_fold(tmp_path, None, **changes)


def test_a_fold_that_another_run_finished_is_not_taken_for_ones_own(tmp_path):
    run_first_fold(tmp_path, None)
    for changes in ({"lr": 0.3}, {"folds": 4}):
        with pytest.raises(ValueError, match="choose another folder"):
            run_first_fold(tmp_path, None, **changes)


def test_the_mean_of_the_folds_is_printed():
    folds = [Metrics(10, a, a, a, {}, 0.0, 0.0, []) for a in (0.5, 0.7)]
    assert crossval.describe(folds).endswith("mean accuracy 0.6000, standard deviation 0.1414")
