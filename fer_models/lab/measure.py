"""The Lab's faces before the networks: what they answer, and whether their heatmaps tell why.

python -m fer_models.lab.measure --table FILE.md
"""

import argparse
import copy
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer
from fer_models.checkpoints import CheckpointError
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import (
    MIN_FACE_SIDE_PX,
    MIN_SCORE,
    Face,
    align_face,
    detect_faces,
    load_detector,
)
from fer_models.lab.actions import ACTIONS_OF_REGION
from fer_models.lab.command import Options, run_command
from fer_models.lab.experiments import (
    Ablation,
    Sweep,
    rank_removals,
    remove_actions,
    sweep_faces,
)
from fer_models.lab.identities import IDENTITIES
from fer_models.lab.parameters import FaceParameters
from fer_models.lab.regions import region_masks
from fer_models.lab.render import render_face

REGIONS = tuple(ACTIONS_OF_REGION)
# A Lab face is hundreds of pixels wide. MTCNN looks for it in ever smaller copies of the picture;
# leaving out the first ones, in which only small faces are found, keeps the copies that find it.
SKIPPED_COPIES = 5
# Below this change of probability no action "matters": it would be noise of the drawing.
MIN_CHANGE = 0.01

OnImage = Callable[[], None]


class NoFaceError(ValueError):
    """A Lab picture in which no face is found."""

    def __init__(self):
        super().__init__("No face is found in this picture; turn the head to the camera.")


@functools.cache
def _large_face_detector():
    detector = copy.copy(load_detector())  # the networks are shared, the setting is its own
    detector.min_face_size = MIN_FACE_SIDE_PX / detector.factor**SKIPPED_COPIES
    return detector


def find_face(image: np.ndarray) -> Face | None:
    """The face of a Lab picture, as `detect_faces` finds it, in a fraction of the time.

    Every picture is searched anew, as a photograph is: an open mouth moves the landmarks, and
    with them the crop that the networks see. Where the quick search is unsure, the full one runs.

    Args:
        image: (512,512,3) RGB uint8.
    """
    boxes, scores, landmarks = _large_face_detector().detect(Image.fromarray(image), landmarks=True)
    if boxes is not None and scores[0] >= MIN_SCORE:  # the largest comes first
        inside = boxes[0].min() >= 1 and boxes[0].max() <= min(image.shape[:2]) - 2
        if inside:
            box = tuple(float(v) for v in boxes[0])
            return Face(box, landmarks[0].astype(np.float64) - 0.5, float(scores[0]))
    return next(iter(detect_faces(image)), None)


def predict_crops(analyzer: Analyzer, network: str, crops: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities (N,8) of aligned crops (112,112,3), in the order of EXPRESSIONS.

    An expression that the network does not know is NaN.

    Raises:
        CheckpointError: if the network cannot be loaded.
    """
    answers = np.full((len(crops), len(EXPRESSIONS)), np.nan)
    known = [EXPRESSIONS.index(label) for label in analyzer.checkpoint(network).card.labels]
    answers[:, known] = analyzer.probabilities(network, crops)
    return answers


def predict_networks(
    analyzer: Analyzer,
    networks: Sequence[str],
    images: Iterable[np.ndarray],
    on_image: OnImage | None = None,
) -> np.ndarray:
    """What several networks answer to pictures that are searched and aligned once for all.

    Args:
        networks: M names.
        images: N pictures (H,W,3) RGB uint8.
        on_image: called after each picture was searched, for a progress bar.

    Returns:
        (N,M,8) probabilities in the order of EXPRESSIONS; NaN where no face was found.

    Raises:
        CheckpointError: if a network cannot be loaded.
    """
    crops, rows, count = [], [], 0
    for row, image in enumerate(images):
        face = find_face(image)
        if face is not None:
            crops.append(align_face(image, face.landmarks))
            rows.append(row)
        count = row + 1
        if on_image:
            on_image()
    answers = np.full((count, len(networks), len(EXPRESSIONS)), np.nan)
    for column, name in enumerate(networks):
        answers[rows, column] = predict_crops(analyzer, name, crops)
    return answers


def loadable_networks(
    analyzer: Analyzer, networks: Sequence[str] = PAGE_NETWORKS
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of those that load, and for each other why it does not."""
    loaded, unavailable = [], {}
    for name in networks:
        try:
            analyzer.checkpoint(name)
            loaded.append(name)
        except CheckpointError as error:
            unavailable[name] = str(error)
    return tuple(loaded), unavailable


def sweep_networks(
    analyzer: Analyzer,
    networks: Sequence[str],
    parameters: FaceParameters,
    name: str,
    values: Sequence[float] | None = None,
    symmetric: bool = False,
) -> Iterator[dict[str, Sweep]]:
    """`sweep` for several networks, each time with one face more; the last is the whole.

    Probabilities (S,8) are NaN where no face was found.

    Raises:
        ValueError: see `sweep`; CheckpointError if a network cannot be loaded.
    """
    values, faces = sweep_faces(parameters, name, values, symmetric)
    answers = np.empty((len(faces), len(networks), len(EXPRESSIONS)))
    for done, face in enumerate(faces, start=1):
        answers[done - 1] = predict_networks(analyzer, networks, [render_face(face)])[0]
        yield {
            network: Sweep(name, values[:done], faces[:done], answers[:done, index].copy())
            for index, network in enumerate(networks)
        }


def region_cells(
    parameters: FaceParameters, landmarks: np.ndarray, cells: int = 7
) -> dict[str, np.ndarray]:
    """How much of each heatmap cell shows each region: (cells,cells) in 0..1.

    Args:
        landmarks: (5,2) in the 512x512 picture; the masks are aligned by them as the face is.
        cells: of a heatmap's side; divides 112.
    """
    shares = {}
    for region, mask in region_masks(parameters).items():
        image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
        crop = align_face(image, landmarks)[..., 0] / 255
        side = len(crop) // cells
        shares[region] = crop.reshape(cells, side, cells, side).mean(axis=(1, 3))
    return shares


def region_shares(
    attribution: np.ndarray, parameters: FaceParameters, landmarks: np.ndarray
) -> dict[str, float]:
    """Which share of a heatmap's positive mass lies on each region of the face.

    What is missing from 1 lies on hair, ears, neck and background. A heatmap without anything
    positive gives zeros.

    Args:
        attribution: (7,7), signed; each cell's mass counts as spread evenly over the cell.
        landmarks: (5,2) in the 512x512 picture.
    """
    positive = np.maximum(attribution, 0)
    total = float(positive.sum())
    cells = region_cells(parameters, landmarks, len(positive))
    return {r: float((positive * c).sum() / total) if total else 0.0 for r, c in cells.items()}


def decisive_actions(ablation: Ablation) -> tuple[str, ...] | None:
    """The action (or pair) whose removal costs the expression most; None where none does.

    An action that speaks against the expression cannot show in a heatmap of what speaks for it,
    so it is passed over.
    """
    change = np.nan_to_num(ablation.change)
    if not len(change) or change.max() < MIN_CHANGE:
        return None
    return ablation.actions[int(change.argmax())]


def changed_region(parameters: FaceParameters, actions: Sequence[str]) -> str:
    """The region with most of what the picture of a face loses without these actions.

    It need not be the region of their sliders: a dropped jaw shows mostly as an open mouth.
    """
    without = render_face(parameters.with_actions(**dict.fromkeys(actions, 0.0)))
    change = np.abs(render_face(parameters).astype(int) - without).sum(axis=2)  # (512,512)
    masks = region_masks(parameters)
    return max(masks, key=lambda region: change[masks[region]].sum())


@dataclass(frozen=True)
class Claim:
    """A network's heatmap for an expression beside what removing the actions shows.

    Attributes:
        shares: region -> share of the heatmap's positive mass, see `region_shares`.
        areas: region -> share of the crop, which is what an even heatmap would give it.
        ablation: the network's own ranking of the active actions.
        decisive_region: where the decisive action shows, see `changed_region`; None without one.
    """

    shares: dict[str, float]
    areas: dict[str, float]
    ablation: Ablation
    decisive_region: str | None

    @property
    def brightest(self) -> str | None:
        """The region with the largest share; None where the heatmap is empty."""
        region = max(self.shares, key=self.shares.get)
        return region if self.shares[region] > 0 else None

    @property
    def decisive(self) -> tuple[str, ...] | None:
        """See `decisive_actions`."""
        return decisive_actions(self.ablation)

    @property
    def agrees(self) -> bool | None:
        """Does the decisive action show most in the brightest region? None where one is missing."""
        if self.brightest is None or self.decisive_region is None:
            return None
        return self.decisive_region == self.brightest


def check_claims(
    analyzer: Analyzer,
    networks: Sequence[str],
    parameters: FaceParameters,
    expression: str,
    on_image: OnImage | None = None,
) -> dict[str, Claim]:
    """Every network's heatmap for an expression, and what its active actions do to the answer.

    Raises:
        NoFaceError: if no face is found.
        ValueError: if a network does not know the expression.
        CheckpointError: if a network cannot be loaded.
    """
    _, removed = remove_actions(parameters)
    images = map(render_face, (parameters, *removed))
    answers = predict_networks(analyzer, networks, images, on_image)
    return judge_claims(analyzer, networks, parameters, expression, answers)


def judge_claims(
    analyzer: Analyzer,
    networks: Sequence[str],
    parameters: FaceParameters,
    expression: str,
    answers: np.ndarray,
) -> dict[str, Claim]:
    """`check_claims` with the answers at hand.

    Args:
        answers: (1 + A, M, 8) of M networks to the face, and to it without each group of
            `remove_actions`.
    """
    image = render_face(parameters)
    face = find_face(image)
    if face is None:
        raise NoFaceError
    results = analyzer.analyze_faces(image, [face], target=expression, networks=networks)
    if results.unavailable:
        raise ValueError(" ".join(results.unavailable.values()))
    heatmaps = {n: r.gradcam.values for n, r in results.faces[0].networks.items()}
    areas = region_shares(np.ones((7, 7)), parameters, face.landmarks)
    groups, _ = remove_actions(parameters)
    target = EXPRESSIONS.index(expression)
    claims = {}
    for index, name in enumerate(networks):
        shares = region_shares(heatmaps[name], parameters, face.landmarks)
        ablation = rank_removals(groups, answers[:, index], target)
        decisive = decisive_actions(ablation)
        region = changed_region(parameters, decisive) if decisive else None
        claims[name] = Claim(shares, areas, ablation, region)
    return claims


@dataclass(frozen=True)
class TableRow:
    """A Lab face: the recipe it was posed by, and what each network answers, with what probability.

    `answers` is empty where no face was found.
    """

    identity: int
    expression: str
    answers: dict[str, tuple[str, float]]


def expression_rows(
    analyzer: Analyzer,
    networks: Sequence[str],
    identities: Sequence[int] = tuple(range(len(IDENTITIES))),
    on_image: OnImage | None = None,
) -> list[TableRow]:
    """Identities with every expression at full intensity, seen from the front."""
    rows = []
    for identity in identities:
        faces = [FaceParameters(identity).with_expression(e) for e in EXPRESSIONS]
        answers = predict_networks(analyzer, networks, map(render_face, faces), on_image)
        for expression, answer in zip(EXPRESSIONS, answers, strict=True):
            said = {
                name: (EXPRESSIONS[int(np.nanargmax(p))], float(np.nanmax(p)))
                for name, p in zip(networks, answer, strict=True)
                if not np.isnan(p).all()
            }
            rows.append(TableRow(identity, expression, said))
    return rows


def _cell(row: TableRow, network: str) -> str:
    if network not in row.answers:
        return "no face found"
    answer, probability = row.answers[network]
    text = f"{answer} {probability:.2f}"
    return text if answer == row.expression else f"**{text}**"


def _agreement(rows: Sequence[TableRow], network: str) -> str:
    hits = sum(row.answers.get(network, ("",))[0] == row.expression for row in rows)
    return f"{hits} of {len(rows)}"


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]


def expression_table(rows: Sequence[TableRow], networks: Sequence[str]) -> str:
    """The rows as Markdown: how often each network answers the recipe, then every face."""
    titles = [DISPLAY_NAMES.get(name, name) for name in networks]
    summary = [
        [e, *(_agreement([r for r in rows if r.expression == e], n) for n in networks)]
        for e in EXPRESSIONS
    ]
    summary.append(["all", *(_agreement(rows, name) for name in networks)])
    unanimous = sum(
        len({answer for answer, _ in row.answers.values()}) == 1
        and len(row.answers) == len(networks)
        for row in rows
    )
    faces = [
        [IDENTITIES[row.identity].name, row.expression, *(_cell(row, name) for name in networks)]
        for row in rows
    ]
    count = len({row.identity for row in rows})
    return "\n".join(
        [
            "# What the networks answer to the Lab's faces",
            "",
            f"Drawn faces: {len(rows)}; identities: {count}, each posed by the recipe of each "
            "expression at full intensity, seen from the front. A recipe is a combination of "
            "facial actions, not a truth: where a network disagrees, the drawing, the recipe or "
            "the network may be at fault.",
            "",
            "## How often a network answers the recipe's expression",
            "",
            *_table(["recipe", *titles], summary),
            "",
            f"The networks give one and the same answer for {unanimous} of {len(rows)} faces.",
            "",
            "## Every face",
            "",
            "An answer other than the recipe's is bold; the number is the answer's probability.",
            "",
            *_table(["face", "recipe", *titles], faces),
        ]
    )


def claims_table(
    analyzer: Analyzer,
    networks: Sequence[str],
    identities: Sequence[int] = tuple(range(len(IDENTITIES))),
    on_image: OnImage | None = None,
) -> str:
    """How often a heatmap is brightest where the action that matters most shows, as Markdown.

    Each posed face is explained for its recipe's expression. The second number is how often the
    region with the largest area would have been right, which needs no heatmap at all.
    """
    counts = {name: np.zeros(3, int) for name in networks}  # right, right by area, asked
    for identity in identities:
        for expression in EXPRESSIONS[1:]:
            parameters = FaceParameters(identity).with_expression(expression)
            try:
                claims = check_claims(analyzer, networks, parameters, expression, on_image)
            except NoFaceError:
                continue
            for name, claim in claims.items():
                if claim.agrees is not None:
                    largest = max(claim.areas, key=claim.areas.get)
                    by_area = claim.decisive_region == largest
                    counts[name] += [claim.agrees, by_area, 1]
    body = [
        [DISPLAY_NAMES.get(n, n), f"{right} of {asked}", f"{by_area} of {asked}"]
        for n, (right, by_area, asked) in counts.items()
    ]
    return "\n".join(
        [
            "## Is the heatmap brightest where the action that matters most shows?",
            "",
            "For each posed face and its recipe's expression: the region with most Grad-CAM mass, "
            "against the action whose removal lowers the probability most, in the region where "
            "that removal changes the picture most. Left out are faces where no removal costs "
            f"{MIN_CHANGE:g}, or whose heatmap is empty.",
            "",
            *_table(["network", "brightest region", "largest region, without a heatmap"], body),
        ]
    )


def provenance(analyzer: Analyzer, networks: Sequence[str], arguments: Sequence[str]) -> str:
    """The command that made a table, and the weights that were asked, as Markdown."""
    weights = [
        f"{DISPLAY_NAMES.get(name, name)} `{analyzer.checkpoint(name).card.sha256[:12]}`"
        for name in networks
    ]
    return (
        f"Made by `{' '.join(['python -m fer_models.lab.measure', *arguments])}` with the weights "
        f"whose sha256 begins with {', '.join(weights)}."
    )


def _parser() -> argparse.ArgumentParser:
    parser = Options(
        prog="python -m fer_models.lab.measure",
        description="Asks the page's networks about every Lab identity and expression.",
    )
    parser.add_argument("--table", type=Path, help="the Markdown file to write; else it is shown")
    parser.add_argument(
        "--claims",
        action="store_true",
        help="also check the heatmaps against the removal of actions (minutes)",
    )
    parser.add_argument(
        "--identities",
        type=int,
        nargs="+",
        choices=range(len(IDENTITIES)),
        default=range(len(IDENTITIES)),
        metavar="N",
        help=f"those to ask about, 0 to {len(IDENTITIES) - 1}; all by default",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    from tqdm import tqdm

    arguments = sys.argv[1:] if arguments is None else arguments

    def measure() -> None:
        options = _parser().parse_args(arguments)
        analyzer = Analyzer()
        networks, unavailable = loadable_networks(analyzer)
        for message in unavailable.values():
            sys.stderr.write(f"{message}\n")
        if not networks:
            raise ValueError("No network can be loaded, so there is nothing to ask.")
        with tqdm(desc="faces", unit="face") as bar:
            asked = (analyzer, networks, options.identities, bar.update)
            parts = [expression_table(expression_rows(*asked), networks)]
            if options.claims:
                parts.append(claims_table(*asked))
        parts.append(provenance(analyzer, networks, arguments))
        text = "\n\n".join(parts) + "\n"
        if options.table:
            options.table.parent.mkdir(parents=True, exist_ok=True)
            options.table.write_text(text, encoding="utf-8")
        else:
            sys.stdout.write(text)

    return run_command(measure)


if __name__ == "__main__":
    sys.exit(main())
