"""The tables of the papers: what is run for them, in which order, and what is written."""

import json
import time
from dataclasses import replace

import pytest
import toy

from training import reproduce, results
from training.crossval import measure_checkpoint
from training.datasets import SPLITS
from training.engine import NotFinished
from training.reproduce import Job, choose_job, plan_jobs, work
from training.results import write_table
from training.tables import TABLES, Row, Table

TOY_RECIPE = """
network = "toy"
sizes = [12]
epochs = [2.0]
stem_strides = [1]
batch_size = 16
detail_px = 12
"""
TOY_TABLE = Table(
    "A toy table",
    "toy",
    40,
    (
        Row("slow", "slow", {"lr": 0.01}, {"rafdb": 80.0}),
        Row("fast", "fast", {"lr": 0.1}, {"rafdb": 90.0}),
    ),
)


@pytest.fixture
def toy_table(monkeypatch, tmp_path):
    (tmp_path / "toy.toml").write_text(TOY_RECIPE)
    monkeypatch.setattr(reproduce, "RECIPES", tmp_path)
    monkeypatch.setitem(TABLES, "toy", TOY_TABLE)
    monkeypatch.setitem(SPLITS, "toy", ("train", "validation", "test"))
    splits = {"train": toy.make_faces(48, 0), "validation": toy.make_faces(40, 1)}
    splits["test"] = toy.make_faces(44, 2)

    def load(data, split, preprocessing, fer2013_weight=0.0):
        return splits[split]

    monkeypatch.setattr(reproduce, "load_faces", load)
    return tmp_path


def toy_jobs(folder, seeds=(0,)) -> list[Job]:
    return plan_jobs(TOY_TABLE, "toy", list(seeds), folder / "runs", [])


def read(folder, name="toy-toy") -> dict:
    return json.loads((folder / "results" / f"{name}.json").read_text())


def test_every_table_can_be_planned_for_every_kind_of_data(tmp_path):
    for name in TABLES:
        for kind in SPLITS:
            jobs = plan_jobs(TABLES[name], kind, [0, 1], tmp_path, [])
            assert len({job.folder for job in jobs}) == 2 * len(TABLES[name].rows)


def test_a_run_that_tables_share_has_one_recipe(tmp_path):
    recipes = {}
    for table in TABLES.values():
        for job in plan_jobs(table, "ferplus", [0], tmp_path, []):
            assert recipes.setdefault(job.folder, job.recipe) == job.recipe
    assert len(recipes) < sum(len(table.rows) for table in TABLES.values())


def test_the_ten_folds_of_the_paper_average_to_what_its_text_says(tmp_path):
    jobs = plan_jobs(TABLES["ddamfn-9"], "rafdb", [0], tmp_path, [])
    write_table(tmp_path / "results", "ddamfn-9", "rafdb", [(job.row, None) for job in jobs])
    lines = read(tmp_path, "ddamfn-9-rafdb")["rows"]
    assert lines[-1]["system"] == "mean"
    assert lines[-1]["paper"] == 90.635


def test_the_mean_of_ten_folds_waits_for_all_of_them(tmp_path):
    rows = TABLES["ddamfn-9"].rows
    common = dict.fromkeys(("training_images", "parameters", "multiply_adds", "seed"), 1)
    outcomes = [
        {
            **common,
            "accuracy": 80.0 + fold,
            "balanced_accuracy": 70.0,
            "test_images": 100,
            "epochs": 40.0,
            "minutes": 2.0,
            "device": "abacus",
            "precision": "float32",
            "data": "ferplus",
            "recipe": {"init": ""},
        }
        for fold in range(10)
    ]
    results_folder = tmp_path / "results"
    nine = [*zip(rows[:9], outcomes[:9], strict=True), (rows[9], None)]
    write_table(results_folder, "ddamfn-9", "ferplus", nine)
    assert read(tmp_path, "ddamfn-9-ferplus")["rows"][-1]["ours"] is None
    write_table(results_folder, "ddamfn-9", "ferplus", list(zip(rows, outcomes, strict=True)))
    mean = read(tmp_path, "ddamfn-9-ferplus")["rows"][-1]
    assert (mean["ours"], mean["test_images"], mean["minutes"]) == (84.5, 1000, 20.0)
    assert mean["standard_deviation"] == pytest.approx(3.028)
    assert "folds of Training" in (results_folder / "ddamfn-9-ferplus.md").read_text()


def test_a_table_is_trained_measured_and_written(toy_table):
    assert work("toy", "toy:x", toy_jobs(toy_table, (0, 1)), toy_table / "results")
    slow, fast = read(toy_table)["rows"]
    assert (slow["system"], slow["paper"], slow["seeds"]) == ("slow", 80.0, [0, 1])
    assert slow["ours"] == pytest.approx(sum(slow["accuracies"]) / 2, abs=1e-3)
    assert slow["difference"] == pytest.approx(slow["ours"] - 80, abs=1e-3)
    assert (fast["test_images"], fast["training_images"], fast["epochs"]) == (44, 48, [2.0])
    run = toy_jobs(toy_table)[1].folder
    measured = measure_checkpoint(run / "checkpoint.safetensors", toy.make_faces(44, 2), False)
    assert fast["accuracies"][0] == pytest.approx(100 * measured.accuracy, abs=1e-3)
    alone = toy_jobs(toy_table)[1].result
    assert alone["balanced_accuracy"] == pytest.approx(100 * measured.balanced_accuracy, abs=1e-3)
    page = (toy_table / "results" / "toy-toy.md").read_text()
    assert "SHORT SCHEDULE: of the paper's 40 epochs, slow 2, fast 2." in page
    assert "different data sets" in page
    assert f"| fast | 90.00 | {fast['ours']:.2f} ±" in page
    assert f"{fast['ours'] - slow['ours']:+.2f}" in page


def test_a_table_whose_runs_are_elsewhere_stays_until_there_is_a_new_number(toy_table, monkeypatch):
    work("toy", "toy", toy_jobs(toy_table), toy_table / "results")
    before = read(toy_table)
    elsewhere = plan_jobs(TOY_TABLE, "toy", [0], toy_table / "others", [])

    def fail(*arguments):
        raise ValueError("no such data")

    monkeypatch.setattr(reproduce, "load_faces", fail)
    with pytest.raises(ValueError, match="no such data"):
        work("toy", "toy", elsewhere, toy_table / "results")
    assert read(toy_table) == before


def test_what_a_run_started_from_is_said(toy_table, tmp_path):
    toy.train(tmp_path / "first")
    init = f'init="{tmp_path / "first" / "toy.safetensors"}"'
    jobs = plan_jobs(TOY_TABLE, "toy", [0], toy_table / "runs", [init])
    work("toy", "toy", jobs, toy_table / "results")
    assert any(
        note.startswith("NOT FROM SCRATCH: started from") and "toy.safetensors" in note
        for note in read(toy_table)["notes"]
    )


def test_what_is_done_is_skipped_and_what_was_broken_off_goes_on(toy_table, monkeypatch):
    done, trained = toy_jobs(toy_table), []

    class SpiedRun(reproduce.Run):
        def train(self, minutes):
            trained.append((self.recipe.lr, self.step))
            super().train(0 if len(trained) == 2 else None)  # the second breaks off at once

    monkeypatch.setattr(reproduce, "Run", SpiedRun)
    assert not work("toy", "toy:x", done, toy_table / "results")
    assert read(toy_table)["rows"][0]["ours"] is not None
    assert "Not run yet: fast" in (toy_table / "results" / "toy-toy.md").read_text()
    assert work("toy", "toy:x", done, toy_table / "results")
    assert trained == [(0.01, 0), (0.1, 0), (0.1, 1)]
    assert work("toy", "toy:x", done, toy_table / "results")
    assert len(trained) == 3


def test_a_result_of_another_recipe_is_not_taken(toy_table):
    finish(toy_jobs(toy_table)[0], minutes=1.0)
    jobs = plan_jobs(TOY_TABLE, "toy", [0], toy_table / "runs", ["momentum=0.5"])
    with pytest.raises(ValueError, match=r"slow-seed0/result.json was made by another recipe;"):
        work("toy", "toy:x", jobs, toy_table / "results")


def test_a_result_of_other_data_or_that_is_not_whole_is_not_taken(toy_table):
    job = toy_jobs(toy_table)[0]
    finish(job, minutes=1.0)
    with pytest.raises(ValueError, match=r"result.json was made by another data;"):
        _ = replace(job, data="rafdb").result
    job.result_file.write_text("{")
    with pytest.raises(ValueError, match=r"result.json: not a whole record"):
        _ = job.result


def outcome(**changes) -> dict:
    values = {
        "accuracy": 70.0,
        "balanced_accuracy": 60.0,
        "test_images": 3589,
        "training_images": 28709,
        "epochs": 300.0,
        "parameters": 11_180_103,
        "multiply_adds": 1,
        "minutes": 2.0,
        "device": "abacus",
        "precision": "float32",
        "seed": 0,
        "data": "fer2013",
        "recipe": {"init": ""},
    }
    return {**values, **changes}


def test_a_short_run_among_whole_ones_is_named_and_so_is_every_device(tmp_path):
    resnet, spresnet, attentive = TABLES["spresnet-2"].rows
    outcomes = [
        (resnet, outcome()),
        (spresnet, outcome(device="slide rule")),
        (spresnet, outcome(epochs=2.0, seed=1)),
        (attentive, outcome()),
    ]
    write_table(tmp_path / "results", "spresnet-2", "fer2013", outcomes)
    record = read(tmp_path, "spresnet-2-fer2013")
    assert "SHORT SCHEDULE: of the paper's 300 epochs, SPResNet18 2." in record["notes"]
    assert record["rows"][1]["epochs"] == [2.0, 300.0]
    assert record["rows"][1]["devices"] == ["abacus", "slide rule"]
    page = (tmp_path / "results" / "spresnet-2-fer2013.md").read_text()
    assert "| 0, 1 | 2, 300 | 4.0 | abacus, slide rule |" in page
    assert "A PART" not in page


def test_parameters_stand_beside_the_papers(tmp_path):
    row = TABLES["ddamfn-2"].rows[0]
    write_table(tmp_path / "results", "ddamfn-2", "rafdb", [(row, outcome(parameters=940_935))])
    page = (tmp_path / "results" / "ddamfn-2-rafdb.md").read_text()
    assert "| parameters, paper | parameters, ours |" in page
    assert "| 1.148 M | 940,935 |" in page
    assert "| 41.56 M |  |" in page


def test_a_part_of_a_data_set_is_a_run_of_its_own_and_said_in_the_table(toy_table):
    part = plan_jobs(TOY_TABLE, "toy:x#subset", [0], toy_table / "runs", [])[0]
    finish(part, minutes=1.0)
    with pytest.raises(ValueError, match="made by another data"):
        _ = toy_jobs(toy_table)[0].result
    part.result_file.write_text(json.dumps(outcome(**part.origin)))
    write_table(toy_table / "results", "toy", "toy", [(part.row, part.result)])
    assert "A PART OF THE DATA: fewer images than were published." in read(toy_table)["notes"]


def test_an_unknown_kind_of_data_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'raf:x': give the data as KIND:PATH; .*rafdb"):
        plan_jobs(TABLES["ddamfn-2"], "raf:x", [0], tmp_path, [])


def test_a_split_that_cannot_be_read_stops_before_any_training(toy_table, monkeypatch):
    def load(data, split, preprocessing, fer2013_weight=0.0):
        if split == "test":
            raise ValueError("test is damaged")
        return toy.make_faces(48)

    monkeypatch.setattr(reproduce, "load_faces", load)
    with pytest.raises(ValueError, match="test is damaged"):
        work("toy", "toy:x", toy_jobs(toy_table), toy_table / "results")
    assert not (toy_table / "runs").exists()


def test_the_minutes_that_loading_takes_are_not_trained(toy_table, monkeypatch):
    given = []

    def load(data, split, preprocessing, fer2013_weight=0.0):
        time.sleep(0.1)
        return toy.make_faces(48)

    monkeypatch.setattr(reproduce, "load_faces", load)

    def train(run, minutes):
        given.append(minutes)
        raise NotFinished("enough")

    monkeypatch.setattr(reproduce.Run, "train", train)
    assert not work("toy", "toy:x", toy_jobs(toy_table), toy_table / "results", minutes=1.0)
    assert 0 < given[0] < 1 - 3 * 0.1 / 60


def test_no_minutes_left_means_no_run(toy_table):
    assert not work("toy", "toy:x", toy_jobs(toy_table), toy_table / "results", minutes=0)
    assert not (toy_table / "runs").exists()
    assert read(toy_table)["rows"][0]["ours"] is None


def finish(job: Job, minutes: float) -> None:
    job.folder.mkdir(parents=True)
    job.result_file.write_text(json.dumps({**job.origin, "minutes": minutes}))


def test_a_run_known_not_to_fit_is_left_for_the_next_slice(toy_table):
    jobs = toy_jobs(toy_table)
    assert choose_job(jobs, 1.0, may_split=False) == jobs[0]
    finish(jobs[0], minutes=5.0)
    assert choose_job(jobs, 6.0, may_split=False) == jobs[1]
    assert choose_job(jobs, 1.0, may_split=False) is None
    assert choose_job(jobs, 1.0, may_split=True) == jobs[1]


def test_what_was_begun_comes_first(toy_table):
    jobs = toy_jobs(toy_table)
    jobs[1].folder.mkdir(parents=True)
    (jobs[1].folder / "state.pt").touch()
    assert choose_job(jobs, 1.0, may_split=False) == jobs[1]


def test_the_same_data_set_is_compared_without_a_caution(tmp_path):
    write_table(tmp_path / "results", "spresnet-2", "fer2013", [])
    record = read(tmp_path, "spresnet-2-fer2013")
    assert [line["paper"] for line in record["rows"]] == [69.769, 72.444, 72.666]
    assert not any("different data sets" in note for note in record["notes"])
    assert results.paper_kind(TABLES["spresnet-2"], "rafdb") == "rafdb"


def test_bfloat16_is_trained_recorded_and_repeated_in_the_command(toy_table, monkeypatch):
    arguments = ["--table", "toy", "--data", "toy:x", "--seeds", "3", "--set", "epochs=[1.0]"]
    folders = ["--runs", str(toy_table / "runs"), "--results", str(toy_table / "results")]
    monkeypatch.setattr("sys.argv", ["reproduce", *arguments, "--bfloat16", *folders])
    reproduce.main()
    record = read(toy_table)
    assert [row["precisions"] for row in record["rows"]] == [["bfloat16 where autocast has it"]] * 2
    assert record["notes"][-1] == (
        "`python -m training.reproduce --table toy --data toy:PATH --seeds 3 "
        "--set 'epochs=[1.0]' --bfloat16`"
    )


def test_a_setting_that_the_table_would_win_over_is_refused_before_training(tmp_path):
    def plan(*overrides, table="spresnet-2", kind="rafdb"):
        return plan_jobs(TABLES[table], kind, [0], tmp_path, list(overrides))

    with pytest.raises(ValueError, match=r"--set batch_size, seed: .*for rafdb.*--seeds"):
        plan("batch_size=64", "lr=0.05", "seed=3")
    with pytest.raises(ValueError, match="--set network"):
        plan("network=ddamfn", table="ddamfn-2")
    same = plan("batch_size=16", "lr=0.05")
    assert {(job.recipe.batch_size, job.recipe.lr) for job in same} == {(16, 0.05)}
    others = plan("batch_size=64", kind="fer2013")
    assert {job.recipe.batch_size for job in others} == {64}


def test_a_result_of_another_precision_is_not_taken(toy_table):
    job = toy_jobs(toy_table)[0]
    mixed = replace(job, bfloat16=True)
    finish(job, minutes=1.0)
    with pytest.raises(ValueError, match="made by another use of --bfloat16"):
        _ = mixed.result
    job.result_file.write_text(json.dumps(mixed.origin))
    assert mixed.result
    with pytest.raises(ValueError, match="made by another use of --bfloat16"):
        _ = job.result


@pytest.mark.parametrize(
    "made, flag",
    [
        ({}, False),
        ({"device": "CPU, 1 thread", "precision": "float32"}, False),
        ({"device": "CPU, 1 thread", "precision": "bfloat16 where autocast has it"}, True),
        ({"device": "NVIDIA H100", "precision": "bfloat16 where autocast has it"}, False),
    ],
)
def test_a_result_that_does_not_say_its_option_is_known_by_precision_and_device(
    toy_table, made, flag
):
    job = replace(toy_jobs(toy_table)[0], bfloat16=flag)
    old = {key: value for key, value in job.origin.items() if "bfloat16" not in key}
    job.folder.mkdir(parents=True)
    job.result_file.write_text(json.dumps({**old, **made}))
    assert job.result
    with pytest.raises(ValueError, match="another use of --bfloat16"):
        _ = replace(job, bfloat16=not flag).result


def test_a_row_that_diverges_ends_the_command_in_one_line(toy_table, monkeypatch, capsys):
    rows = (replace(TOY_TABLE.rows[0], settings={"lr": 1e6}),)
    monkeypatch.setitem(TABLES, "toy", replace(TOY_TABLE, rows=rows))
    folders = ["--runs", str(toy_table / "runs"), "--results", str(toy_table / "results")]
    options = ["--table", "toy", "--data", "toy:x", "--set", "clip_norm=0", *folders]
    monkeypatch.setattr("sys.argv", ["reproduce", *options])
    with pytest.raises(SystemExit, match="2"):
        reproduce.main()
    *_, line = capsys.readouterr().err.strip().split("\n")
    assert "slow-seed0: training diverged" in line
    assert not list((toy_table / "runs").rglob("*.safetensors"))


def test_a_part_of_a_data_set_is_recorded_in_the_runs_card(toy_table):
    jobs = plan_jobs(TOY_TABLE, "toy:x#subset", [0], toy_table / "runs", [])
    work("toy", "toy:x#subset", jobs, toy_table / "results")
    card = json.loads((jobs[0].folder / "checkpoint.json").read_text())
    assert card["training"]["data"] == "toy#subset"
