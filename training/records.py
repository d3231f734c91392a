"""A run's numbers in its folder, with what made them: no other run takes them for its own."""

import json
from pathlib import Path

from fer_models.checkpoints import write_atomically
from training.recipe import with_defaults

BFLOAT16 = "use of --bfloat16"  # a key of an origin


def write_json(file: Path, record: dict) -> None:
    """Write a file whole or not at all.

    Raises:
        ValueError: if it cannot be written, as on a full disk.
    """
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    try:
        write_atomically(file, lambda path: path.write_text(text))
    except OSError as error:
        raise ValueError(f"{file}: cannot be written ({error}).") from error


def read_record(file: Path, origin: dict) -> dict | None:
    """What `write_json` left in `file`, or None where there is no file.

    Args:
        origin: what made the record, as part of it: the recipe, the data, the number of folds, the
            use of --bfloat16.

    Raises:
        ValueError: if something else made it, or it is not whole.
    """
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file}: not a whole record ({error}); delete it.") from error
    if "recipe" in record:
        record["recipe"] = with_defaults(record["recipe"])
    record.setdefault(BFLOAT16, _looks_bfloat16(record))
    others = [key for key, value in origin.items() if record.get(key) != value]
    if others:
        raise ValueError(
            f"{file} was made by another {' and another '.join(others)}; give the same again, or "
            "choose another folder (--out or --runs)."
        )
    return record


def _looks_bfloat16(record: dict) -> bool:
    """Whether a record that does not say so was made with --bfloat16: in it, though on a CPU."""
    on_cpu = record.get("device", "").startswith("CPU")
    return on_cpu and record.get("precision", "").startswith("bfloat16")
