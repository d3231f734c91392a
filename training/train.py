"""python -m training.train: from a recipe and a data set to a checkpoint with its card.

With several GPUs: torchrun --nproc_per_node=N -m training.train ... (the same arguments).
"""

import argparse
import logging
from pathlib import Path

from training.datasets import SPLITS, load_faces
from training.datasets.face_set import FaceSet
from training.datasets.source import data_name
from training.distributed import join_workers, leave_workers
from training.engine import (
    BFLOAT16_HELP,
    Diverged,
    NotFinished,
    NotWritten,
    Run,
    deadline_in,
    minutes_until,
)
from training.memory import keep_freed_memory
from training.recipe import SET_HELP, Recipe, load_recipe


def load_splits(data: str, recipe: Recipe) -> tuple[FaceSet, FaceSet]:
    """The training and the validation faces of "KIND:PATH", as the recipe wants them.

    Raises:
        ValueError: if the kind is unknown, or the files are not what their owners ship.
    """
    train_split, validation_split, _ = SPLITS.get(data.partition(":")[0], ("", "", ""))
    return (
        load_faces(data, train_split, recipe.preprocessing, recipe.fer2013_weight),
        load_faces(data, validation_split, recipe.preprocessing),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path, help="for example training/recipes/ddamfn.toml")
    parser.add_argument("--data", required=True, help="KIND:PATH, for example ferplus:../fer2013")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--name", help="the checkpoint's name; the recipe's by default")
    parser.add_argument("--note", default="", help="for the card, for example what was cut short")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=SET_HELP)
    parser.add_argument("--minutes", type=float, help="stop after that many, with all saved")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile; needs a C++ compiler"
    )
    parser.add_argument("--bfloat16", action="store_true", help=BFLOAT16_HELP)
    arguments = parser.parse_args()
    deadline = deadline_in(arguments.minutes)
    keep_freed_memory()
    workers = join_workers()
    level = logging.INFO if workers.is_first else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        recipe = load_recipe(arguments.recipe, arguments.set)
        run = Run(
            recipe,
            *load_splits(arguments.data, recipe),
            arguments.out,
            resume=arguments.resume,
            compile_network=arguments.compile,
            bfloat16=arguments.bfloat16,
            workers=workers,
        )
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")
    try:
        run.train(minutes_until(deadline))
        if workers.is_first:
            name = arguments.name or arguments.recipe.stem
            run.export(name, data_name(arguments.data), arguments.note)
    except NotFinished as stopped:
        logging.info("%s", stopped)
    except (Diverged, NotWritten) as error:
        parser.exit(2, f"{error}\n")
    finally:
        leave_workers()


if __name__ == "__main__":
    main()
