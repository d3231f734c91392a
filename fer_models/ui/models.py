"""The Models tab: every network's card, the papers' numbers beside it, and other checkpoints."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import gradio as gr
import numpy as np

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS
from fer_models.checkpoints import SHIPPED_FOLDER, Card, CheckpointError, load_card
from fer_models.choice import (
    Choices,
    UploadError,
    accept_upload,
    installed_checkpoints,
    is_upload,
    remove_upload,
)
from fer_models.figures import NETWORK_COLORS
from fer_models.ui import html
from fer_models.ui.picture import explain_error
from fer_models.words import Words, load_words

KINDS = ("corrected", "uncorrected")
SPLITS = ("PrivateTest", "PublicTest")  # the test images; those that the correction was chosen on
DATA_NAMES = {
    "ferplus": "FER+",
    "fer2013": "FER2013",
    "rafdb": "RAF-DB",
    "affectnet7": "AffectNet-7",
    "affectnet8": "AffectNet-8",
}
AUGMENTATIONS = (
    "flip",
    "rotation_deg",
    "scale",
    "shift",
    "brightness",
    "contrast",
    "erasing",
)
# A cell's colour goes this far towards the network's, so that the text on it stays readable.
STRONGEST_CELL = 70
UPLOADED = "uploaded"
MISSING = "–"


@dataclass(frozen=True)
class PaperNumbers:
    """A network in its paper: sizes as printed there, and the accuracy in per cent by data set."""

    parameters: str
    multiply_adds: str
    accuracy: dict[str, float]


# Zhang et al., Electronics 2023, 12(17), 3595: Table 2 (sizes, RAF-DB), Table 3 (AffectNet-7), and
# its FER+ result; everything there starts from weights trained on MS-Celeb-1M.
PAPER = {
    "ddamfn": PaperNumbers(
        "4.106 M", "551.22 M", {"ferplus": 90.74, "rafdb": 91.35, "affectnet7": 67.03}
    ),
    "mfn": PaperNumbers("3.973 M", "550.74 M", {"rafdb": 90.32, "affectnet7": 66.19}),
    "resnet50": PaperNumbers("41.56 M", "6.31 G", {"rafdb": 89.63}),
}


@dataclass(frozen=True)
class Measured:
    """What a card says about one split of a data set.

    Attributes:
        recall: by expression; one that no picture shows is missing.
        confusion: (K,K) counts; rows are labels, columns answers, both in the card's order.
    """

    data: str
    n: int
    accuracy: float
    balanced: float
    balanced_basic: float
    calibration_error: float
    recall: dict[str, float]
    confusion: np.ndarray


def read_measured(card: Card, split: str, kind: str) -> Measured | None:
    """The card's numbers of a split, corrected or uncorrected; None where it has none to read."""
    size = len(card.labels)
    try:
        metrics = card.metrics[split][kind]
        confusion = np.array(metrics["confusion"], dtype=np.int64).reshape(size, size)
        return Measured(
            data=DATA_NAMES.get(card.metrics[split]["data"], str(card.metrics[split]["data"])),
            n=int(metrics["n"]),
            accuracy=float(metrics["accuracy"]),
            balanced=float(metrics["balanced_accuracy"]),
            balanced_basic=float(metrics["balanced_accuracy_basic"]),
            calibration_error=float(metrics["expected_calibration_error"]),
            recall={n: float(metrics["recall"][n]) for n in card.labels if n in metrics["recall"]},
            confusion=confusion,
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def choose_card(network: str, choice: Mapping[str, str]) -> Card | None:
    """The card of the chosen checkpoint, or of the network's own; None where there is none."""
    try:
        return load_card(choice.get(network, network))
    except CheckpointError:
        return None


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def draw_comparison(cards: Mapping[str, Card | None], split: str, words: Words) -> str:
    """A table, the networks its columns: this page's numbers, and the paper's."""

    def measured(kind):
        def cell(name):
            found = cards[name] and read_measured(cards[name], split, kind)
            if not found:
                return MISSING
            about = words("models.of_data", data=found.data, n=f"{found.n:,}")
            return f"{percent(found.accuracy)}<small>{escape(about)}</small>"

        return cell

    def size(field, shown):
        return lambda name: MISSING if cards[name] is None else shown(getattr(cards[name], field))

    def paper_accuracy(data):
        def cell(name):
            accuracy = PAPER[name].accuracy.get(data)
            return MISSING if accuracy is None else f"{accuracy:.2f} %"

        return cell

    ours = [
        (words("models.parameters"), size("parameters", whole_number)),
        (words("models.multiply_adds"), size("multiply_adds", mega_or_giga)),
        *(
            (words("models.accuracy_of", what=words(f"models.{kind}")), measured(kind))
            for kind in reversed(KINDS)
        ),
    ]
    papers = [
        (words("models.parameters"), lambda name: PAPER[name].parameters),
        (words("models.multiply_adds"), lambda name: PAPER[name].multiply_adds),
        *(
            (words("models.accuracy_of", what=DATA_NAMES[data]), paper_accuracy(data))
            for data in ("ferplus", "rafdb", "affectnet7")
        ),
    ]
    heads = "".join(
        f'<th scope="col" style="--network:{NETWORK_COLORS[name]}">{DISPLAY_NAMES[name]}</th>'
        for name in PAGE_NETWORKS
    )
    groups = ""
    for title, rows in (("models.ours", ours), ("models.paper", papers)):
        groups += f'<tbody><tr><th colspan="4" scope="colgroup">{words(title)}</th></tr>'
        for label, cell in rows:
            cells = "".join(f"<td>{cell(name)}</td>" for name in PAGE_NETWORKS)
            groups += f'<tr><th scope="row">{label}</th>{cells}</tr>'
        groups += "</tbody>"
    return (
        f'<div class="models-comparison"><table><thead><tr><td></td>{heads}</tr></thead>{groups}'
        f'</table><p class="fer-caption"><strong>{words("models.not_same_exam")}</strong> '
        f"{words('models.paper_source')}</p></div>"
    )


def whole_number(value) -> str:
    return f"{value:,}" if isinstance(value, int) else MISSING


def mega_or_giga(value) -> str:
    """A count as the paper prints it."""
    if not isinstance(value, int):
        return MISSING
    return f"{value / 1e6:.2f} M" if value < 1e9 else f"{value / 1e9:.2f} G"


def draw_cards(
    cards: Mapping[str, Card | None],
    choice: Mapping[str, str],
    split: str,
    kind: str,
    words: Words,
) -> str:
    """The three cards side by side; what stands in one row of them speaks of the same thing."""
    drawn = "".join(
        draw_card(name, cards[name], is_upload(choice.get(name, "")), split, kind, words)
        for name in PAGE_NETWORKS
    )
    return f'<div class="models-cards">{drawn}</div>'


def draw_card(
    network: str, card: Card | None, uploaded: bool, split: str, kind: str, words: Words
) -> str:
    """One network's card as HTML; all of its text is escaped, for it may be a visitor's."""
    title = html.heading(network)
    if card is None:
        text = words("models.upload_gone" if uploaded else "models.no_weights")
        parts = [title, f'<p class="fer-caption">{text}</p>']
    else:
        measured = read_measured(card, split, kind)
        parts = [
            title,
            _draw_remarks(card, uploaded, words),
            _draw_facts(card, words),
            _draw_accuracy(card, split, words),
            _draw_recall(card, measured, kind, words),
            _draw_confusion(card, measured, kind, words),
            _draw_recipe(card, words),
            _draw_file(card, words),
        ]
    sections = "".join(f"<div>{part}</div>" for part in parts)
    return html.card(network, sections, "models-card")


def training_minutes(training: dict) -> float | None:
    """Minutes of a card's training and of what it continued; None if it does not say."""
    minutes = [stage.get("minutes") for stage in training_stages(training)]
    known = [m for m in minutes if isinstance(m, int | float)]
    return sum(known) if known else None


def training_stages(training: dict) -> list[dict]:
    """A card's training and what it continued, the earliest first."""
    stages = [training]
    while isinstance(before := stages[0].get("before"), dict):
        stages.insert(0, before)
    return stages


def translate(text: str, words: Words) -> str:
    """What training writes into cards, in the page's language; any other text as it is."""
    if found := re.fullmatch(r"CPU, (\d+) threads?", text):
        key = "models.cpu_thread" if found[1] == "1" else "models.cpu_threads"
        return words(key, count=found[1])
    for key, english in load_words().section("cards").items():
        if text == english:
            return words(f"cards.{key}")
    return text


def _draw_remarks(card: Card, uploaded: bool, words: Words) -> str:
    remarks = []
    if uploaded:
        remarks.append(words("models.uploaded_remark"))
    training = card.training
    minutes, note = training_minutes(training), training.get("note")
    if note and minutes and str(training.get("device", "")).startswith("CPU"):
        remarks.append(words("models.short_schedule", minutes=f"{minutes:.1f}"))
    elif note:
        remarks.append(words("models.note", note=note))
    if use := training.get("use"):
        remarks.append(str(use))
    return "".join(f'<p class="models-remark">{escape(remark)}</p>' for remark in remarks)


def _draw_facts(card: Card, words: Words) -> str:
    training, preprocessing = card.training, card.preprocessing
    color = words("models.grey" if preprocessing.grey else "models.color")
    detail = preprocessing.detail_px or preprocessing.size
    data = DATA_NAMES.get(str(training.get("data")), str(training.get("data", MISSING)))
    if isinstance(training.get("images"), int):
        data = words("models.data_images", data=data, images=f"{training['images']:,}")
    minutes = training_minutes(training)
    rows = [
        ("checkpoint", card.name),
        ("parameters", whole_number(card.parameters)),
        ("multiply_adds", mega_or_giga(card.multiply_adds)),
        (
            "input",
            words("models.input_text", size=preprocessing.size, color=color, detail=detail),
        ),
        ("answers", words("models.answers_text", count=len(card.labels))),
        ("data", data),
        ("trained", words("models.minutes", minutes=f"{minutes:.1f}") if minutes else MISSING),
        ("device", translate(str(training.get("device", MISSING)), words)),
        ("licence", translate(card.licence, words) or MISSING),
        ("sha256", str(card.sha256)[:12]),
    ]
    if precision := training.get("precision"):
        rows.insert(-2, ("precision", translate(str(precision), words)))
    if source := training.get("source"):
        rows.insert(-2, ("source", source))
    return _definitions((words(f"models.{key}"), value) for key, value in rows)


def _definitions(rows) -> str:
    cells = "".join(
        f"<div><dt>{escape(str(label))}</dt><dd>{escape(str(value))}</dd></div>"
        for label, value in rows
    )
    return f'<dl class="models-facts">{cells}</dl>'


def _draw_accuracy(card: Card, split: str, words: Words) -> str:
    title = f"<h3>{words('models.how_often_right')}</h3>"
    both = [read_measured(card, split, kind) for kind in reversed(KINDS)]
    if None in both:
        return f'{title}<p class="fer-caption">{words("models.not_measured")}</p>'
    rows = [
        ("accuracy", [percent(m.accuracy) for m in both]),
        ("balanced_basic", [percent(m.balanced_basic) for m in both]),
        ("balanced", [percent(m.balanced) for m in both]),
        ("calibration_error", [f"{m.calibration_error:.2f}" for m in both]),
    ]
    heads = "".join(f'<th scope="col">{words(f"models.{kind}")}</th>' for kind in reversed(KINDS))
    lines = "".join(
        f'<tr><th scope="row">{words(f"models.{key}")}</th>'
        + "".join(f"<td>{value}</td>" for value in values)
        + "</tr>"
        for key, values in rows
    )
    about = words("models.of_data", data=both[0].data, n=f"{both[0].n:,}")
    return (
        f'{title}<table class="models-numbers"><caption>{escape(about)}</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{lines}</tbody></table>"
    )


def _draw_recall(card: Card, measured: Measured | None, kind: str, words: Words) -> str:
    if measured is None:
        return ""
    rows = ""
    for name in card.labels:
        recall = measured.recall.get(name)
        number = MISSING if recall is None else f"{recall:.2f}"
        track = html.track(min(max(recall or 0, 0), 1))
        rows += html.bar(words.expression(name), track, number)
    title = words("models.recall", kind=words(f"models.{kind}"))
    return f'<h3>{title}</h3><div class="fer-bars">{rows}</div>'


def _draw_confusion(card: Card, measured: Measured | None, kind: str, words: Words) -> str:
    """The counts in per cent of their row: how often each expression got each answer."""
    if measured is None:
        return ""
    names = [words.expression(name) for name in card.labels]
    heads = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    rows = ""
    for i, (name, counts) in enumerate(zip(names, measured.confusion, strict=True)):
        total = int(counts.sum())
        cells = ""
        for k, count in enumerate(counts):
            share = count / total if total else 0
            about = words(
                "models.cell", label=name, answer=names[k], count=f"{count:,}", total=f"{total:,}"
            )
            diagonal = ' class="models-right"' if i == k else ""
            cells += (
                f'<td{diagonal} style="--share:{STRONGEST_CELL * share:.1f}%" title="{about}">'
                f"{f'{100 * share:.0f}' if count else ''}</td>"
            )
        rows += f'<tr><th scope="row">{name} <small>{total:,}</small></th>{cells}</tr>'
    title = words("models.confusion", kind=words(f"models.{kind}"))
    return (
        f'<h3>{title}</h3><table class="models-confusion" lang="{words.language}"><thead><tr>'
        f"<td>{words('models.confusion_corner')}</td>{heads}</tr></thead>"
        f'<tbody>{rows}</tbody></table><p class="fer-caption">{words("models.confusion_about")}</p>'
    )


def _draw_recipe(card: Card, words: Words) -> str:
    title = f"<h3>{words('models.recipe')}</h3>"
    stages = [s for s in training_stages(card.training) if isinstance(s.get("recipe"), dict)]
    if not stages:
        return f'{title}<p class="fer-caption">{words("models.no_recipe")}</p>'
    *earlier, last = [_definitions(recipe_rows(stage, words)) for stage in stages]
    folded = "".join(
        f"<details><summary>{words('models.stage', number=number)}</summary>{rows}</details>"
        for number, rows in enumerate(earlier, start=1)
    )
    heading = f"<h4>{words('models.stage', number=len(stages))}</h4>" if earlier else ""
    return f"{title}{folded}{heading}{last}"


def recipe_rows(stage: dict, words: Words) -> list[tuple[str, str]]:
    """What one stage of training did, a line a subject; a value that is not there is a dash."""
    recipe = stage["recipe"]

    def value(key):
        return recipe.get(key, MISSING)

    sizes, epochs = recipe.get("sizes"), recipe.get("epochs")
    if isinstance(sizes, list) and isinstance(epochs, list):
        phases = [
            words("models.phase", epochs=e, size=s) for e, s in zip(epochs, sizes, strict=False)
        ]
        passes = words.join(phases)
    else:
        passes = MISSING
    changes = [
        words(f"models.change_{key}", value=recipe[key]) for key in AUGMENTATIONS if recipe.get(key)
    ]
    return [
        (
            words("models.start"),
            words("models.start_from", name=recipe["init"])
            if recipe.get("init")
            else words("models.start_random"),
        ),
        (words("models.passes"), passes),
        (
            words("models.steps"),
            words(
                "models.steps_text",
                steps=stage.get("steps", MISSING),
                batch=value("batch_size"),
                minutes=stage.get("minutes", MISSING),
            ),
        ),
        (
            words("models.optimizer"),
            words(
                "models.optimizer_text",
                name=value("optimizer"),
                lr=value("lr"),
                schedule=translate(str(value("schedule")), words),
                decay=value("weight_decay"),
            ),
        ),
        *(
            [(words("models.attention_loss"), str(value("attention_loss_weight")))]
            if recipe.get("network") == "ddamfn"
            else []
        ),
        (words("models.changes"), words.join(changes) or MISSING),
    ]


def card_json(card: Card) -> str:
    """The card's JSON, its lists of numbers on one line each so that it can be read."""
    text = json.dumps(card.to_dict(), indent=2, ensure_ascii=False)
    return re.sub(r"\[\s+([^\[\]{}\"]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)


def _draw_file(card: Card, words: Words) -> str:
    text = card_json(card)
    data = base64.b64encode(text.encode()).decode()
    name = re.sub(r"[^\w.-]", "_", card.name)
    return (
        f"<details><summary>{words('models.whole_card')}</summary><pre>{escape(text)}</pre>"
        f'</details><a class="models-download" download="{name}.json" '
        f'href="data:application/json;base64,{data}">{words("models.download_card")}</a>'
    )


def menu(
    network: str, choice: Mapping[str, str], uploads: Mapping[str, str], words: Words
) -> tuple[list[tuple[str, str]], str | None]:
    """What a network's menu offers, (what it reads, its value), and which of it is chosen."""
    choices = []
    for name in installed_checkpoints(network):
        shipped = (SHIPPED_FOLDER / f"{name}.json").is_file()
        key = "models.shipped" if shipped else "models.downloaded"
        choices.append((words(key, name=name), name))
    if network in uploads:
        choices.append((words("models.uploaded"), UPLOADED))
    chosen = choice.get(network, network)
    value = UPLOADED if is_upload(chosen) else chosen
    return choices, value if value in dict(choices).values() else None


def upload(
    files: list[str] | None, choice: dict[str, str], uploads: dict[str, str], words: Words
) -> tuple[dict[str, str], dict[str, str], str]:
    """Check uploaded files and choose them: the new choice, the new uploads, and a notice."""
    try:
        path, card = accept_upload(files or [])
    except UploadError as error:
        return choice, uploads, html.notice(explain_error(error, words), "problem")
    if card.network in uploads:
        remove_upload(uploads[card.network])
    notice = words("models.upload_accepted", name=card.name, network=DISPLAY_NAMES[card.network])
    return (
        {**choice, card.network: path},
        {**uploads, card.network: path},
        html.notice(notice, "agree"),
    )


def choose(
    network: str, chosen: str | None, choice: dict[str, str], uploads: dict[str, str]
) -> dict[str, str]:
    """The choice after a menu was used; the network's own checkpoint needs no entry."""
    others = {name: value for name, value in choice.items() if name != network}
    chosen = uploads.get(network) if chosen == UPLOADED else chosen
    return others if chosen in (None, network) else {**others, network: chosen}


def remove_uploads(uploads: dict[str, str], choices: Choices) -> None:
    """What is left of a visitor's uploads when the visit ends, on disk and in memory."""
    for path in (uploads or {}).values():
        remove_upload(path)
    choices.forget_deleted()


def build_models_tab(choices: Choices, choice: gr.State, tab: gr.Tab, words: Words) -> None:
    """Lay out and wire the tab, inside `tab`.

    Args:
        choice: this visitor's {network: checkpoint}, see `fer_models.choice.Choices`.
    """
    uploads = gr.State({}, delete_callback=lambda uploads: remove_uploads(uploads, choices))
    cards = {name: choose_card(name, {}) for name in PAGE_NETWORKS}
    gr.Markdown(words("models.about"))
    with gr.Row():
        split = gr.Radio(
            words.choices("models.split_", SPLITS),
            value=SPLITS[0],
            label=words("models.split"),
            min_width=320,
            elem_id="models-split",
        )
        kind = gr.Radio(
            words.choices("models.", KINDS),
            value=KINDS[0],
            label=words("models.kind"),
            info=words("models.kind_info"),
            min_width=320,
            elem_id="models-kind",
        )
    comparison = gr.HTML(draw_comparison(cards, SPLITS[0], words), elem_id="models-comparison")
    with gr.Row(equal_height=True):
        menus = {}
        for name in PAGE_NETWORKS:
            choices, value = menu(name, {}, {}, words)
            menus[name] = gr.Dropdown(
                choices,
                value=value,
                label=words("models.checkpoint_of", network=DISPLAY_NAMES[name]),
                interactive=True,
                min_width=240,
                elem_id=f"models-menu-{name}",
            )
    with gr.Accordion(words("models.own"), open=False, elem_id="models-own"):
        gr.Markdown(words("models.own_about"))
        button = gr.UploadButton(
            words("models.own_button"),
            file_count="multiple",
            file_types=[".safetensors", ".json"],
            size="sm",
            elem_id="models-upload",
        )
        line = gr.HTML(html.notice(words("models.own_empty")), elem_id="models-upload-line")
    drawn = gr.HTML(draw_cards(cards, {}, *(SPLITS[0], KINDS[0]), words), elem_id="models-cards")

    def draw(choice, split, kind):
        cards = {name: choose_card(name, choice) for name in PAGE_NETWORKS}
        return [draw_comparison(cards, split, words), draw_cards(cards, choice, split, kind, words)]

    def show_menus(choice, uploads):
        offers = [menu(name, choice, uploads, words) for name in PAGE_NETWORKS]
        return [gr.update(choices=choices, value=value) for choices, value in offers]

    shown = [comparison, drawn]
    settings = [choice, split, kind]
    private = {"api_visibility": "private", "show_progress": "hidden"}
    for name, dropdown in menus.items():

        def pick(chosen, choice, uploads, name=name):
            return choose(name, chosen, choice, uploads)

        dropdown.input(pick, [dropdown, choice, uploads], choice, **private).then(
            draw, settings, shown, **private
        )
    gr.on([split.input, kind.input], draw, settings, shown, **private)
    tab.select(show_menus, [choice, uploads], list(menus.values()), **private)

    def check(files, choice, uploads):
        yield gr.skip(), gr.skip(), html.notice(words("models.own_checking"))
        yield upload(files, choice, uploads, words)

    button.upload(check, [button, choice, uploads], [choice, uploads, line], **private).then(
        show_menus, [choice, uploads], list(menus.values()), **private
    ).then(draw, settings, shown, **private)
