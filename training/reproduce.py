"""python -m training.reproduce: one table of a paper, its numbers beside ours.

Trains what is missing, skips what is done, goes on with what was broken off, and writes
TABLE-KIND.json and TABLE-KIND.md after every finished run. With `--minutes` it stops in time; a run
that is known not to fit into what is left is not begun.
"""

import argparse
import functools
import json
import logging
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fer_models.checkpoints import SHIPPED_FOLDER
from training.crossval import measure_checkpoint, run_fold, stratified_folds
from training.datasets import SPLITS, load_faces
from training.datasets.source import data_name
from training.distributed import refuse_several_processes
from training.engine import BFLOAT16_HELP, NotFinished, Run, deadline_in, minutes_until
from training.memory import keep_freed_memory
from training.recipe import Recipe, load_recipe
from training.records import BFLOAT16, read_record, write_json
from training.results import write_table
from training.tables import TABLES, Row, Table

logger = logging.getLogger(__name__)

RECIPES = Path(__file__).with_name("recipes")
RESULTS_FOLDER = SHIPPED_FOLDER.parent / "results"
FOLDS = 10


@dataclass(frozen=True)
class Job:
    """One training run of a table: a row with a seed, on data of one kind ("#subset" behind it)."""

    row: Row
    recipe: Recipe
    data: str
    folder: Path
    bfloat16: bool = False

    @property
    def result_file(self) -> Path:
        return self.folder / "result.json"

    @property
    def origin(self) -> dict:
        """What makes the result; a folder that holds another's is refused."""
        folds = FOLDS if self.row.fold is not None else None
        return {
            "recipe": self.recipe.to_dict(),
            "data": self.data,
            "number of folds": folds,
            BFLOAT16: self.bfloat16,
        }

    @property
    def result(self) -> dict | None:
        """The finished run's numbers.

        Raises:
            ValueError: if they are another recipe's, data set's or precision's.
        """
        return read_record(self.result_file, self.origin)

    @property
    def is_begun(self) -> bool:
        return (self.folder / "state.pt").is_file()


def plan_jobs(
    table: Table,
    data: str,
    seeds: list[int],
    runs: Path,
    overrides: list[str],
    bfloat16: bool = False,
) -> list[Job]:
    """The table's jobs, all rows of the first seed before any of the next.

    Args:
        data: "KIND:PATH"; the path does not matter here.

    Raises:
        ValueError: if the kind is unknown, or an override is no key of a recipe, has the wrong
            type, or is of a key that the table itself sets.
    """
    kind = data.partition(":")[0]
    if kind not in SPLITS:
        raise ValueError(f"{data!r}: give the data as KIND:PATH; kinds are {', '.join(SPLITS)}.")
    base = load_recipe(RECIPES / f"{table.recipe}.toml", overrides)
    overridden = {override.partition("=")[0].strip() for override in overrides}
    jobs, lost = [], set()
    for seed in seeds:
        for row in table.rows:
            changes = {**table.settings.get(kind, {}), **row.settings, "seed": seed}
            lost |= {key for key in overridden & set(changes) if getattr(base, key) != changes[key]}
            folder = runs / kind / f"{row.run}-seed{seed}"
            if row.fold is not None:
                folder = folder / f"fold-{row.fold + 1:02d}"
            jobs.append(Job(row, replace(base, **changes), data_name(data), folder, bfloat16))
    if lost:
        raise ValueError(
            f"--set {', '.join(sorted(lost))}: the table has values of its own for "
            f"{kind}, which would win; leave that out, and give seeds with --seeds."
        )
    return jobs


def choose_job(jobs: list[Job], minutes_left: float, may_split: bool) -> Job | None:
    """What to work on next: what is begun, else the first that fits, else the first.

    How long a run takes is known from finished ones of the same network; before that, it is tried.

    Args:
        may_split: whether a run that does not fit may be begun nevertheless.
    """
    open_jobs = [job for job in jobs if job.result is None]
    begun = [job for job in open_jobs if job.is_begun]
    if begun:
        return begun[0]
    taken = {job.recipe.network: job.result["minutes"] for job in jobs if job.result}
    fitting = [job for job in open_jobs if taken.get(job.recipe.network, 0) <= minutes_left]
    if fitting:
        return fitting[0]
    return open_jobs[0] if open_jobs and may_split else None


def run_job(job: Job, data: str, load: Callable, deadline: float | None) -> None:
    """Train a job to its end, measure it on the test split, and keep the result in its folder.

    Args:
        deadline: when training must stop, as `time.monotonic` counts; loading takes time too.

    Raises:
        NotFinished: if the minutes ran out; the next call goes on.
        ValueError: if the folder holds a run of another recipe, or the training diverges.
    """
    kind = data.partition(":")[0]
    train_split, validation_split, test_split = SPLITS[kind]
    train_faces = load(train_split, job.recipe.preprocessing, job.recipe.fer2013_weight)
    if job.row.fold is not None:
        numbers = stratified_folds(train_faces.labels, FOLDS, job.recipe.seed)
        out = job.folder.parent
        fold = job.row.fold
        metrics = run_fold(
            job.recipe, train_faces, numbers, fold, out, job.data, deadline, job.bfloat16
        )
    else:
        # All splits before any training: what is missing or corrupt is found out at once.
        validation_faces = load(validation_split, job.recipe.preprocessing)
        test_faces = load(test_split, job.recipe.preprocessing).labelled()
        run = Run(
            job.recipe,
            train_faces,
            validation_faces,
            job.folder,
            resume=True,
            bfloat16=job.bfloat16,
        )
        run.train(minutes_until(deadline))
        run.export("checkpoint", job.data)
        file = job.folder / "checkpoint.safetensors"
        metrics = measure_checkpoint(file, test_faces, job.recipe.test_flip)
    card = json.loads((job.folder / "checkpoint.json").read_text())
    result = {
        **job.origin,
        "accuracy": round(100 * metrics.accuracy, 3),
        "balanced_accuracy": round(100 * metrics.balanced_accuracy, 3),
        "test_images": metrics.n,
        "training_images": card["training"]["images"],
        "epochs": sum(job.recipe.epochs),
        "parameters": card["parameters"],
        "multiply_adds": card["multiply_adds"],
        "minutes": card["training"]["minutes"],
        "device": card["training"]["device"],
        "precision": card["training"]["precision"],
        "seed": job.recipe.seed,
        "confusion": metrics.confusion,
    }
    write_json(job.result_file, result)


def work(
    name: str,
    data: str,
    jobs: list[Job],
    results: Path,
    minutes: float | None = None,
    options: str = "",
) -> bool:
    """Go through a table's jobs until they or the minutes end, and write the table.

    Args:
        options: of the command line, which the table repeats.

    Returns:
        Whether the table is complete.
    """
    load = functools.cache(functools.partial(load_faces, data))
    kind, done = data.partition(":")[0], 0
    deadline = deadline_in(minutes)

    def write() -> None:
        write_table(results, name, kind, [(job.row, job.result) for job in jobs], options)

    # A table whose runs are elsewhere is not overwritten before there is a new number.
    if any(job.result for job in jobs) or not (results / f"{name}-{kind}.json").is_file():
        write()
    while True:
        left = float("inf") if deadline is None else minutes_until(deadline)
        job = choose_job(jobs, left, may_split=done == 0) if left > 0 else None
        if job is None:
            break
        logger.info("%s, %.1f minutes left", job.folder, left)
        try:
            run_job(job, data, load, deadline)
        except NotFinished as stopped:
            logger.info("%s", stopped)
            break
        done += 1
        write()
    return all(job.result for job in jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", required=True, choices=TABLES, help="paper and number")
    parser.add_argument("--data", required=True, help="KIND:PATH, for example ferplus:../fer2013")
    parser.add_argument("--minutes", type=float, help="stop after that many; call again to go on")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="one run of each row a seed"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/reproduce"), help="the runs' folders go there"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS_FOLDER, help="the table goes there, beside others"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a shorter schedule, say"
    )
    parser.add_argument("--bfloat16", action="store_true", help=BFLOAT16_HELP)
    arguments = parser.parse_args()
    keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    name, data = arguments.table, arguments.data
    kind = data.partition(":")[0]
    words = [word for setting in arguments.set for word in ("--set", setting)]
    options = shlex.join([*words, *["--bfloat16"] * arguments.bfloat16])
    try:
        refuse_several_processes()
        jobs = plan_jobs(
            TABLES[name],
            data,
            arguments.seeds,
            arguments.runs,
            arguments.set,
            arguments.bfloat16,
        )
        complete = work(name, data, jobs, arguments.results, arguments.minutes, options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")
    print((arguments.results / f"{name}-{kind}.md").read_text())
    if not complete:
        print("Not complete; the same command goes on.")


if __name__ == "__main__":
    main()
