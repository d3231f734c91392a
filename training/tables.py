"""The papers' tables: their numbers, and the runs that stand beside them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        label: as the paper has it.
        run: the training run's name; tables that name the same one share it.
        settings: what its recipe changes in the table's.
        paper: the paper's accuracy in per cent, by kind of data.
        fold: 0..9 where the row is one of ten folds.
        parameters: their number as the paper writes it; empty where its table has none.
    """

    label: str
    run: str
    settings: dict
    paper: dict[str, float]
    fold: int | None = None
    parameters: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a paper; `settings` are changes that a kind of data needs in the recipe."""

    title: str
    recipe: str
    paper_epochs: int
    rows: tuple[Row, ...]
    settings: dict[str, dict] = field(default_factory=dict)


# Colour images of a hundred pixels lose nothing: no grey, no reduction to 48 pixels.
_COLOUR = {"grey": False, "detail_px": 0, "mean": 0.5}
_LARGE = {kind: _COLOUR for kind in ("rafdb", "affectnet7", "affectnet8", "folder")}

_MFN = {"network": "mfn"}
_FOLDS = (90.69, 90.23, 89.89, 90.82, 89.83, 91.02, 91.82, 90.55, 90.55, 90.95)


def _backbone(label: str, network: str, accuracy: float, parameters: str) -> Row:
    settings = {} if network == "ddamfn" else {"network": network}
    return Row(label, network, settings, {"rafdb": accuracy}, parameters=parameters)


def _heads(count: int, accuracy: float) -> Row:
    if count == 0:
        return Row("0 heads", "mfn", _MFN, {"rafdb": accuracy})
    run = "ddamfn" if count == 2 else f"ddamfn-heads{count}"
    label = f"{count} head{'s' if count > 1 else ''}"
    return Row(label, run, {"num_heads": count}, {"rafdb": accuracy})


TABLES = {
    "ddamfn-2": Table(
        "DDAMFN, Table 2: backbones",
        "table_ddamfn",
        40,
        (
            _backbone("MobileFaceNet", "mobilefacenet", 87.52, "1.148 M"),
            _backbone("ResNet-18", "resnet18", 87.47, "16.78 M"),
            _backbone("ResNet-50", "resnet50", 89.63, "41.56 M"),
            _backbone("MFN", "mfn", 90.32, "3.973 M"),
            _backbone("DDAMFN", "ddamfn", 91.35, "4.106 M"),
        ),
        _LARGE,
    ),
    "ddamfn-3": Table(
        "DDAMFN, Table 3: what DDAN adds to MFN",
        "table_ddamfn",
        40,
        (
            Row("MFN", "mfn", _MFN, {"rafdb": 90.32, "affectnet7": 66.19}),
            Row("MFN + DDAN", "ddamfn", {}, {"rafdb": 91.35, "affectnet7": 67.03}),
        ),
        _LARGE,
    ),
    "ddamfn-4": Table(
        "DDAMFN, Table 4: number of DDA heads",
        "table_ddamfn",
        40,
        tuple(
            _heads(count, accuracy)
            for count, accuracy in enumerate((90.32, 90.67, 91.35, 91.11, 91.21))
        ),
        _LARGE,
    ),
    "ddamfn-5": Table(
        "DDAMFN, Table 5: the attention loss",
        "table_ddamfn",
        40,
        (
            Row("none", "ddamfn-plain", {"attention_loss_weight": 0.0}, {"rafdb": 90.86}),
            Row("attention loss", "ddamfn", {}, {"rafdb": 91.35}),
        ),
        _LARGE,
    ),
    "ddamfn-9": Table(
        "DDAMFN, Table 9: ten folds",
        "table_ddamfn",
        40,
        tuple(
            Row(f"fold {fold + 1}", "ddamfn-folds", {}, {"rafdb": accuracy}, fold)
            for fold, accuracy in enumerate(_FOLDS)
        ),
        _LARGE,
    ),
    "spresnet-2": Table(
        "SPResNet18_CA, Table 2: split convolutions and coordinate attention",
        "table_spresnet",
        300,
        (
            Row(
                "ResNet18",
                "resnet18_44",
                {"network": "resnet18_44"},
                {"fer2013": 69.769, "rafdb": 81.845},
                parameters="11,180,103",
            ),
            Row(
                "SPResNet18",
                "spresnet18",
                {"network": "spresnet18"},
                {"fer2013": 72.444, "rafdb": 83.638},
                parameters="4,188,487",
            ),
            Row(
                "SPResNet18_CA",
                "spresnet18_ca",
                {},
                {"fer2013": 72.666, "rafdb": 84.420},
                parameters="4,263,223",
            ),
        ),
        {"rafdb": {"grey": False, "mean": 0.5, "batch_size": 16}},
    ),
}
