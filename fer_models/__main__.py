"""The command line; python -m fer_models --help lists its commands."""

import argparse
import json
import sys
from pathlib import Path

from fer_models.agreement import describe_agreement
from fer_models.analysis import PAGE_NETWORKS, Analyzer
from fer_models.checkpoints import (
    DOWNLOADED_FOLDER,
    SHIPPED_FOLDER,
    Card,
    load_card,
    shipped_checkpoints,
)
from fer_models.explain.cam import METHODS
from fer_models.expressions import EXPRESSIONS, canonical_expression
from fer_models.images import load_image
from fer_models.model_card import model_card
from fer_models.official import BASE_URL, PUBLISHED, download_official, import_official
from fer_models.words import load_words


def _networks(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def analyze(arguments: argparse.Namespace) -> None:
    from fer_models.figures import check_figure_file, draw_analysis, save_figure
    from fer_models.report import analysis_report

    if not arguments.networks:
        raise ValueError("--networks names none; give names or files, such as ddamfn,mfn.")
    if arguments.csv:
        return analyze_many(arguments)
    if Path(arguments.image).is_dir() or Path(arguments.image).suffix.lower() == ".zip":
        raise ValueError(f"{arguments.image} holds many pictures: give --csv FILE for the table.")
    if arguments.heatmaps:
        raise ValueError("--heatmaps draws means over many pictures: give --csv FILE too.")
    if arguments.figure:
        check_figure_file(arguments.figure)
    image = load_image(arguments.image)
    analyzer = Analyzer(arguments.networks)
    result = analyzer.analyze(
        image, target=arguments.target, face_crop=arguments.face_crop, method=arguments.method
    )
    if result.unavailable and len(result.unavailable) == len(analyzer.networks):
        raise ValueError("; ".join(result.unavailable.values()))
    for message in result.unavailable.values():
        print(message, file=sys.stderr)
    text = json.dumps(analysis_report(result), indent=2)
    if arguments.json:
        arguments.json.write_text(text + "\n")
        for number, face in enumerate(result.faces, start=1):
            print(f"face {number}: {describe_agreement(face.networks)}")
    else:
        print(text)
    if not result.faces:
        hint = "No face found. If the image is a face crop already, add --face-crop."
        print(hint, file=sys.stderr)
    if arguments.figure and result.faces:
        face = result.faces[0]
        save_figure(draw_analysis(face.crop, face.networks), arguments.figure)


def analyze_many(arguments: argparse.Namespace) -> None:
    """A folder, a zip or a picture to a CSV; bad files are named and stop nothing."""
    from tqdm import tqdm

    from fer_models import batch
    from fer_models.figures import check_figure_file, save_figure

    if arguments.json or arguments.figure or arguments.target:
        raise ValueError(
            "--csv explains each network's own answer: it takes no --json, --figure or --target."
        )
    if arguments.heatmaps:
        check_figure_file(arguments.heatmaps)
    analyzer = Analyzer(arguments.networks)
    labels, unavailable = batch.usable_networks(analyzer)
    listing = batch.list_pictures([arguments.image], batch.UNLIMITED)
    for message in (*unavailable.values(), *(p.text(load_words()) for p in listing.problems)):
        print(message, file=sys.stderr)
    tally = batch.Tally(labels, listing.problems)
    results = batch.analyze_pictures(
        analyzer,
        listing.pictures,
        networks=list(labels),
        face_crop=arguments.face_crop,
        method=arguments.method,
    )
    progress = tqdm(results, total=len(listing.pictures), unit="picture", disable=None)
    with batch.open_table(arguments.csv, labels) as table:
        try:
            for result in progress:
                table.add(result)
                tally.add(result)
                if result.problem:
                    progress.write(result.problem.text(load_words()), file=sys.stderr)
        except KeyboardInterrupt:
            print("Stopped; what was done so far is written.", file=sys.stderr)
    print(
        f"{arguments.csv}: {tally.faces} faces in {tally.pictures} pictures, {tally.faceless} "
        f"without a face, {len(tally.problems)} files passed over"
    )
    if arguments.heatmaps:
        save_figure(batch.draw_mean_heatmaps(tally), arguments.heatmaps)


def figure1(arguments: argparse.Namespace) -> None:
    from fer_models.figure1 import make_figure1, row_name
    from fer_models.figures import FIGURE1_MAX_ROWS, check_figure_file, save_figure

    check_figure_file(arguments.out)
    words = load_words()
    images = []
    for number, argument in enumerate(arguments.images[:FIGURE1_MAX_ROWS], start=1):
        name, separator, path = argument.partition("=")
        if separator and not Path(argument).exists():
            images.append((canonical_expression(name), load_image(path)))
        else:
            name = row_name(Path(argument), number, words)
            images.append((name, load_image(argument)))
    if len(arguments.images) > FIGURE1_MAX_ROWS:
        print(words("figure1.only_first", limit=FIGURE1_MAX_ROWS), file=sys.stderr)
    made = make_figure1(Analyzer(), images)
    if made.faceless:
        print(words("figure1.no_faces", names=words.join(made.faceless)), file=sys.stderr)
    save_figure(made.figure, arguments.out)
    record = arguments.out.with_suffix(".json")
    record.write_text(json.dumps(made.record, indent=2) + "\n")
    print(f"{arguments.out} and {record}")


def checkpoints(arguments: argparse.Namespace) -> None:
    if arguments.download:
        card = download_official(arguments.download, DOWNLOADED_FOLDER)
        print(f"{card.name} is in {DOWNLOADED_FOLDER}. {card.licence}")
        return
    for folder in (SHIPPED_FOLDER, DOWNLOADED_FOLDER):
        for name in shipped_checkpoints(folder):
            card = load_card(name)
            describe_checkpoint(card)
            if arguments.write_documents:
                (folder / f"{name}.md").write_text(model_card(card))
    for name, published in PUBLISHED.items():
        if not (DOWNLOADED_FOLDER / f"{name}.safetensors").is_file():
            print(f"{name}: not here; --download {name} fetches {BASE_URL}/{published.path}")


def describe_checkpoint(card: Card) -> None:
    expressions = f"{len(card.labels)} expressions" if card.labels else "no expressions"
    print(f"{card.name}: {card.network}, {expressions}, {card.parameters:,} parameters")
    for split, metrics in card.metrics.items():
        for kind in ("uncorrected", "corrected"):
            numbers = metrics[kind]
            print(
                f"  {metrics['data']} {split}, {kind}: n {numbers['n']}, accuracy "
                f"{numbers['accuracy']:.4f}, balanced over the seven basic expressions "
                f"{numbers['balanced_accuracy_basic']:.4f}, over all "
                f"{numbers['balanced_accuracy']:.4f}, expected calibration error "
                f"{numbers['expected_calibration_error']:.4f}"
            )
    if note := card.training.get("note"):
        print(f"  {note}")


def import_file(arguments: argparse.Namespace) -> None:
    card = import_official(arguments.file, arguments.out)
    print(
        f"{arguments.out / card.name}.safetensors: {card.network}, {card.parameters:,} parameters"
    )


def bench(arguments: argparse.Namespace) -> None:
    from fer_models.bench import benchmark, describe
    from fer_models.bench_engines import compare_engines, describe_engines

    if arguments.repeats < 1:
        raise ValueError("--repeats counts runs; give 1 or more.")
    if arguments.engines:
        result = compare_engines(arguments.repeats)
        print(describe_engines(result))
    else:
        result = benchmark(arguments.repeats)
        print(describe(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fer_models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("analyze", help="predictions, heatmaps and attention of an image")
    command.add_argument("image", help="a picture file; with --csv also a folder or a zip of them")
    command.add_argument("--json", type=Path, help="write the result there instead of printing it")
    command.add_argument("--figure", type=Path, help="draw the largest face's analysis, PNG or PDF")
    command.add_argument("--csv", type=Path, help="write a table there, a row a face")
    command.add_argument(
        "--heatmaps", type=Path, help="with --csv: draw the mean heatmap of every answer there"
    )
    command.add_argument(
        "--networks", type=_networks, default=PAGE_NETWORKS, help="names or files, with commas"
    )
    command.add_argument("--target", metavar="EXPRESSION", help=f"one of {', '.join(EXPRESSIONS)}")
    command.add_argument("--method", default="grad-cam", choices=METHODS)
    command.add_argument(
        "--face-crop", action="store_true", help="the image is a face crop already"
    )
    command.set_defaults(run=analyze)

    command = commands.add_parser("figure1", help="the paper's Figure 1 for any images")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="FILE or EXPRESSION=FILE")
    command.add_argument("--out", type=Path, default=Path("figure1.png"), help="PNG or PDF")
    command.set_defaults(run=figure1)

    command = commands.add_parser("bench", help="time this library against the plain way")
    command.add_argument("--json", type=Path, help="write the measurements there too")
    command.add_argument("--repeats", type=int, default=20, help="runs of each way")
    command.add_argument(
        "--engines", action="store_true", help="instead: each trunk in every installed engine"
    )
    command.set_defaults(run=bench)

    command = commands.add_parser("checkpoints", help="list the checkpoints, or download one")
    command.add_argument("--download", metavar="NAME", help="fetch the authors' file and import it")
    command.add_argument(
        "--write-documents", action="store_true", help="write NAME.md beside each card"
    )
    command.set_defaults(run=checkpoints)

    command = commands.add_parser("import-official", help="import a file of the DDAMFN authors")
    command.add_argument("file", type=Path, help="their .pth file")
    command.add_argument("--out", type=Path, required=True, help="folder of weights and card")
    command.set_defaults(run=import_file)
    return parser


def main() -> int:
    arguments = build_parser().parse_args()
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}".replace("\n", " "), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
