"""A checkpoint's card as a document: everything in it comes from the JSON card."""

import json

from fer_models.analysis import DISPLAY_NAMES
from fer_models.calibration import Calibration
from fer_models.checkpoints import Card

DOCUMENT = """# {title}

{network} with {classes} classes: {parameters:,} parameters, {multiply_adds:.2f} billion
multiply-adds for one face. Weights: `{name}.safetensors`, sha256 `{sha256}`.

Made from `{name}.json` by `python -m fer_models checkpoints --write-documents`; do not edit.

## Use

Naming the expression that annotators would give a picture of a face, to study networks and their
explanations. Not for judging people: a posed face is not a feeling, and inferring emotions of
people at work or in education is prohibited in the European Union (AI Act, Art. 5(1)(f)).

## Input and output

{size}x{size} pixels, {colour}, aligned by five landmarks ({alignment}){detail}. Normalised with
mean {mean} and standard deviation {std}. Labels in the logits' order: {labels}.

Probabilities: logits, less {strength:g} times the logarithm of the training prior (arXiv
2007.07314), divided by the temperature {temperature:g}{chosen}

## Training

{training}

## Results

{results}

## Licence

{licence}
"""


def model_card(card: Card) -> str:
    """The document, in Markdown."""
    seen = card.preprocessing
    return DOCUMENT.format(
        title=DISPLAY_NAMES.get(card.name, card.name),
        network=DISPLAY_NAMES.get(card.network, card.network),
        classes=len(card.labels),
        parameters=card.parameters,
        multiply_adds=card.multiply_adds / 1e9,
        name=card.name,
        sha256=card.sha256,
        size=seen.size,
        colour="grey" if seen.grey else "colour",
        alignment=seen.alignment,
        detail=f", reduced to {seen.detail_px}x{seen.detail_px} and enlarged again"
        if seen.detail_px
        else "",
        mean=seen.mean[0] if len(set(seen.mean)) == 1 else seen.mean,
        std=seen.std[0] if len(set(seen.std)) == 1 else seen.std,
        labels=", ".join(card.labels) or "none",
        strength=card.calibration.strength,
        temperature=card.calibration.temperature,
        chosen=_chosen_text(card.calibration),
        training=_training_text(card.training),
        results="\n".join(_results_lines(card.metrics)) or "None in the card.",
        licence=card.licence or "Not stated in the card.",
    )


def _chosen_text(calibration: Calibration) -> str:
    if calibration.chosen_by:
        return f". Chosen by {calibration.chosen_by}."
    if (calibration.strength, calibration.temperature) == (0, 1):
        return ": the plain softmax."
    return "; both were chosen on validation images."


def _training_text(training: dict) -> str:
    if not training:
        return "Not stated in the card."
    paragraphs = []
    part, when = training, "last"
    while part:
        recipe = part.get("recipe", {})
        facts = [
            f"{part[key]} {unit}"
            for key, unit in (("images", "images"), ("steps", "steps"), ("minutes", "minutes"))
            if key in part
        ]
        where = f" on {part['device']}" if "device" in part else ""
        where += f" in {part['precision']}" if "precision" in part else ""
        text = f"The {when} part: {', '.join(facts)}{where}, data {part.get('data', 'not stated')}."
        if note := part.get("note"):
            text += f" {note}"
        text += f"\n\n```json\n{json.dumps(recipe)}\n```"
        paragraphs.append(text)
        part, when = part.get("before"), "earlier"
    return "\n\n".join(paragraphs)


def _results_lines(metrics: dict) -> list[str]:
    lines = []
    for split, measured in metrics.items():
        for kind in ("uncorrected", "corrected"):
            numbers = measured[kind]
            recall = ", ".join(
                f"{name} {'none' if value is None else format(value, '.2f')}"
                for name, value in numbers["recall"].items()
            )
            lines.append(
                f"- {measured['data']} {split}, {kind}, n {numbers['n']}: accuracy "
                f"{numbers['accuracy']:.4f}, balanced {numbers['balanced_accuracy']:.4f}, over the "
                f"seven basic expressions {numbers['balanced_accuracy_basic']:.4f}, expected "
                f"calibration error {numbers['expected_calibration_error']:.4f}. Recall: {recall}."
            )
    return lines
