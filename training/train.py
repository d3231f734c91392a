"""python -m training.train: from a recipe and a data set to a checkpoint with its card."""

import argparse
import functools
import logging
from pathlib import Path

from training.datasets import load_faces
from training.engine import NotFinished, Run
from training.recipe import load_recipe

VALIDATION_SPLIT = {"ferplus": "PublicTest", "fer2013": "PublicTest"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path, help="for example training/recipes/ddamfn.toml")
    parser.add_argument("--data", required=True, help="KIND:PATH, for example ferplus:../fer2013")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--name", help="the checkpoint's name; the recipe's by default")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--minutes", type=float, help="stop after that many, with all saved")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--compile", action="store_true", help="torch.compile; needs a C++ compiler")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        recipe = load_recipe(arguments.recipe, arguments.set)
        kind = arguments.data.partition(":")[0]
        load = functools.partial(load_faces, arguments.data, preprocessing=recipe.preprocessing)
        validation_faces = load(split=VALIDATION_SPLIT.get(kind, "PublicTest"))
        train_faces = load(split="Training", fer2013_weight=recipe.fer2013_weight)
        run = Run(
            recipe,
            train_faces,
            validation_faces,
            arguments.out,
            resume=arguments.resume,
            compile_network=arguments.compile,
        )
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    try:
        run.train(arguments.minutes)
    except NotFinished as stopped:
        logging.info("%s", stopped)
        return
    run.export(arguments.name or arguments.recipe.stem, kind)


if __name__ == "__main__":
    main()
