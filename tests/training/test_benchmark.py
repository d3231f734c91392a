"""The benchmark measures both ways on the same faces."""

import re
import sys

import pytest
import torch
import toy

from training import benchmark
from training.distributed import Workers
from training.engine import has_bfloat16


@pytest.mark.parametrize("bfloat16", [False, True])
def test_both_ways_their_ratio_and_where_the_time_goes_are_printed(monkeypatch, capsys, bfloat16):
    monkeypatch.setitem(benchmark.NETWORKS, "toy", toy.ToyNetwork)
    options = ["--network", "toy", "--size", "16", "--batch", "8", "--steps", "3", "--workers", "0"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *options, *["--bfloat16"][:bfloat16]])
    benchmark.main()
    printed = capsys.readouterr().out
    found = re.findall(r"^(plain|ours): ([\d.]+) images/s in (\w+) ", printed, re.MULTILINE)
    (_, plain, of_plain), (_, ours, of_ours) = found
    plain, ours = float(plain), float(ours)
    is_mixed = bfloat16 or has_bfloat16(Workers().device)
    assert (of_plain, of_ours) == ("float32", "bfloat16" if is_mixed else "float32")
    ratio = float(re.search(r"^ratio ([\d.]+)", printed, re.MULTILINE)[1])
    assert abs(ratio - ours / plain) < 0.02
    assert printed.count("reading and augmenting") == printed.count("forward and backward") == 2


def test_a_stopwatch_adds_up_the_parts():
    watch = benchmark.Stopwatch(torch.device("cpu"))
    for _ in range(2):
        with watch.part("a"):
            sum(range(1000))
    with watch.part("b"):
        pass
    assert watch.seconds["a"] > watch.seconds["b"] >= 0


def test_a_size_that_the_head_cannot_take_names_one_that_fits(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "--network", "mfn", "--size", "64"])
    with pytest.raises(SystemExit, match="2"):
        benchmark.main()
    said = capsys.readouterr().err
    assert (
        "--size 64: at 64 pixels the map has 4x4 cells, but the head spans 7x7; 112 fits." in said
    )


def test_more_steps_than_a_recipe_has_are_timed(monkeypatch, capsys):
    monkeypatch.setitem(benchmark.NETWORKS, "toy", toy.ToyNetwork)
    options = ["--network", "toy", "--size", "12", "--batch", "2", "--steps", "50"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *options, "--workers", "0"])
    monkeypatch.setattr(benchmark, "Recipe", lambda **keys: toy.make_recipe(**keys, epochs=[0.1]))
    benchmark.main()
    assert "ratio" in capsys.readouterr().out
