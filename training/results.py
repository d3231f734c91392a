"""A reproduced table as JSON and as Markdown."""

from pathlib import Path

import numpy as np

from fer_models.checkpoints import write_atomically
from training.datasets import SPLITS
from training.datasets.source import SUBSET
from training.records import write_json
from training.tables import TABLES, Row, Table

NAMES = {
    "affectnet7": "AffectNet-7",
    "affectnet8": "AffectNet-8",
    "fer2013": "FER2013",
    "ferplus": "FER+",
    "rafdb": "RAF-DB",
}
HEADER = (
    "system",
    "paper",
    "ours",
    "difference",
    "gain, paper",
    "gain, ours",
    "balanced",
    "parameters, paper",
    "parameters, ours",
    "images",
    "seeds",
    "epochs",
    "minutes",
    "device",
)


def paper_kind(table: Table, kind: str) -> str:
    """The data set whose column of the paper stands beside ours: the same one where it has it."""
    columns = table.rows[0].paper
    return kind if kind in columns else next(iter(columns))


def summarise(row: Row, results: list[dict], column: str) -> dict:
    """A row's numbers over its finished seeds; accuracies in per cent."""
    line = {
        "system": row.label,
        "paper": row.paper[column],
        "paper_parameters": row.parameters,
        "ours": None,
        "difference": None,
    }
    if not results:
        return line
    accuracies = [result["accuracy"] for result in results]
    ours = float(np.mean(accuracies))
    spread = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    return {
        **line,
        "ours": round(ours, 3),
        "difference": round(ours - row.paper[column], 3),
        "accuracies": accuracies,
        "standard_deviation": None if spread is None else round(spread, 3),
        "balanced_accuracy": round(float(np.mean([r["balanced_accuracy"] for r in results])), 3),
        "seeds": [result["seed"] for result in results],
        "minutes": round(sum(result["minutes"] for result in results), 1),
        "epochs": sorted({result["epochs"] for result in results}),
        "devices": sorted({result["device"] for result in results}),
        "precisions": sorted({result["precision"] for result in results}),
        "inits": sorted({result["recipe"]["init"] for result in results}),
        "is_part": any(result["data"].endswith(SUBSET) for result in results),
        **{
            key: results[0][key]
            for key in ("test_images", "training_images", "parameters", "multiply_adds")
        },
    }


def mean_line(lines: list[dict]) -> dict:
    """The last line of a cross-validation."""
    done = [line for line in lines if line["ours"] is not None]
    mean = {"system": "mean", "paper": round(float(np.mean([x["paper"] for x in lines])), 3)}
    if len(done) < len(lines):
        return {**mean, "ours": None, "difference": None}
    accuracies = [line["ours"] for line in done]
    ours = round(float(np.mean(accuracies)), 3)
    return {
        **done[0],
        **mean,
        "ours": ours,
        "difference": round(ours - mean["paper"], 3),
        "accuracies": accuracies,
        "standard_deviation": round(float(np.std(accuracies, ddof=1)), 3),
        "balanced_accuracy": round(float(np.mean([x["balanced_accuracy"] for x in done])), 3),
        "test_images": sum(line["test_images"] for line in done),
        "minutes": round(sum(line["minutes"] for line in done), 1),
        "epochs": sorted({epochs for line in done for epochs in line["epochs"]}),
        "devices": sorted({device for line in done for device in line["devices"]}),
    }


def describe(table: Table, name: str, kind: str, lines: list[dict], options: str) -> str:
    """The note under the table: data, what was measured, what was cut short, and the command."""
    column, is_folds = paper_kind(table, kind), table.rows[0].fold is not None
    train_split, _, test_split = SPLITS[kind]
    ours = f"{NAMES.get(kind, kind)}, {f'folds of {train_split}' if is_folds else test_split}"
    notes = [f"Accuracy in per cent. Paper: {NAMES[column]}. Ours: {ours}, without correction."]
    if column != kind:
        notes.append(
            "The two columns are of different data sets, so their difference says little; compare "
            "the gains over the first row."
        )
    done = [line for line in lines if line["ours"] is not None]
    short = [
        f"{line['system']} {line['epochs'][0]:g}"
        for line in done
        if line["epochs"][0] < table.paper_epochs
    ]
    if short:
        notes.append(
            f"SHORT SCHEDULE: of the paper's {table.paper_epochs} epochs, {', '.join(short)}."
        )
    if inits := sorted({init for line in done for init in line["inits"] if init}):
        notes.append(
            f"NOT FROM SCRATCH: started from {', '.join(inits)}, whose own epochs are not counted."
        )
    if any(line["is_part"] for line in done):
        notes.append("A PART OF THE DATA: fewer images than were published.")
    missing = [line["system"] for line in lines if line["ours"] is None]
    if missing:
        notes.append(f"Not run yet: {', '.join(missing)}.")
    seeds = sorted({seed for line in done for seed in line["seeds"]})
    if seeds not in ([], [0]):
        options = " ".join(["--seeds", *map(str, seeds), options])
    command = f"python -m training.reproduce --table {name} --data {kind}:PATH {options}"
    notes.append(f"`{command.strip()}`")
    return "\n\n".join(notes)


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.2f}"


def markdown(title: str, lines: list[dict], notes: str) -> str:
    def gain(line: dict, key: str) -> float | None:
        first = lines[0][key]
        return None if line is lines[0] or None in (first, line[key]) else line[key] - first

    rows = [HEADER, ("---",) * len(HEADER)]
    for line in lines:
        spread = line.get("standard_deviation")
        rows.append(
            (
                line["system"],
                _number(line["paper"]),
                _number(line["ours"]) + (f" ± {spread:.2f}" if spread is not None else ""),
                _number(line["difference"], "+"),
                _number(gain(line, "paper"), "+"),
                _number(gain(line, "ours"), "+"),
                _number(line.get("balanced_accuracy")),
                line.get("paper_parameters", ""),
                f"{line['parameters']:,}" if "parameters" in line else "",
                str(line.get("test_images", "")),
                ", ".join(map(str, line.get("seeds", []))),
                ", ".join(f"{epochs:g}" for epochs in line.get("epochs", [])),
                f"{line['minutes']:.1f}" if "minutes" in line else "",
                ", ".join(line.get("devices", [])),
            )
        )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"# {title}\n\n{table}\n\n{notes}\n"


def write_table(
    folder: Path,
    name: str,
    kind: str,
    results: list[tuple[Row, dict | None]],
    options: str = "",
) -> None:
    """Write `NAME-KIND.json` and `NAME-KIND.md`; rows without a result are there, empty.

    Args:
        options: of the command line that made the results, such as "--set epochs=[1.0]".
    """
    table = TABLES[name]
    column = paper_kind(table, kind)
    lines = [
        summarise(row, [r for other, r in results if other == row and r is not None], column)
        for row in table.rows
    ]
    if table.rows[0].fold is not None:
        lines.append(mean_line(lines))
    notes = describe(table, name, kind, lines, options)
    record = {
        "table": name,
        "title": table.title,
        "data": kind,
        "paper_data": column,
        "paper_epochs": table.paper_epochs,
        "notes": notes.split("\n\n"),
        "rows": lines,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}-{kind}.json", record)
    page = markdown(table.title, lines, notes)
    write_atomically(folder / f"{name}-{kind}.md", lambda path: path.write_text(page))
