"""The Batch tab: many pictures to a table, and the mean heatmap of every answer."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr
from gradio.data_classes import FileData, ListFiles

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer
from fer_models.batch import (
    BatchError,
    Limits,
    Problem,
    Tally,
    analyze_pictures,
    batch_report,
    draw_mean,
    draw_mean_heatmaps,
    in_order,
    list_pictures,
    open_table,
    usable_networks,
)
from fer_models.checkpoints import Card, CheckpointError
from fer_models.choice import Choices
from fer_models.figures import NETWORK_COLORS, drawable_words, save_figure
from fer_models.ui import html
from fer_models.ui.picture import explain_error, make_download_folder, own_kind
from fer_models.ui.progress import end_failed
from fer_models.words import Words

LIMITS = Limits()
SHOWN_PROBLEMS, OPEN_PROBLEMS = 100, 8
SECONDS_BETWEEN_UPDATES = 0.7
RESULTS_HEIGHT_PX = 420
# Zips made by Chinese Windows write names in GBK without saying so.
NAME_ENCODINGS = {"en": ("utf-8",), "zh": ("utf-8", "gb18030")}
# Gradio names an uploaded folder's files without their folders. The browser still knows them: the
# input beside the button holds the files in the same order.
NAME_FOLDERS = """(files, folder) => {
  const inputs = document.querySelectorAll("input[type=file]");
  const input = [...inputs].find((one) => one.nextElementSibling?.id === "batch-folder");
  const given = [...(input?.files ?? [])];
  if (given.length === folder?.length && given.every((f, i) => f.name === folder[i].orig_name))
    folder = folder.map((f, i) => ({...f, orig_name: given[i].webkitRelativePath || f.orig_name}));
  return [files, folder];
}"""


@dataclass(frozen=True)
class Upload:
    """An uploaded file: its path, and what its visitor calls it, folders included."""

    path: str
    name: str


@dataclass(frozen=True)
class BatchView:
    """What the tab shows: a line, the counts and maps, and at the end the files (else None)."""

    line: str
    results: str = ""
    table: str | None = None
    heatmaps: str | None = None
    report: str | None = None


def run_batch(
    analyzer: Analyzer,
    files: Sequence[Upload] | None,
    face_crop: bool,
    words: Words,
    stopped: Callable[[], bool],
    limits: Limits = LIMITS,
) -> Iterator[BatchView]:
    """A batch's views, the last one with the files; after a stop these hold what was done.

    Args:
        stopped: asked after every picture.
    """
    if not files:
        yield BatchView(describe_files(files, words))
        return
    yield BatchView(html.notice(words("batch.listing")))
    try:
        paths, names = zip(*((file.path, file.name) for file in files), strict=True)
        listing = list_pictures(paths, limits, NAME_ENCODINGS[words.language], names)
        labels, unavailable = usable_networks(analyzer, PAGE_NETWORKS)
        cards = {name: analyzer.checkpoint(name).card for name in labels}
    except BatchError as error:
        yield BatchView(html.notice(error.problem.text(words), "problem"))
        return
    except CheckpointError as error:
        yield BatchView(html.notice(explain_error(error, words), "problem"))
        return
    total = len(listing.pictures)
    tally, done = Tally(labels, listing.problems), 0
    folder = make_download_folder()
    table_file, heatmaps_file = folder / "faces.csv", folder / "mean_heatmaps.png"
    report_file = folder / "batch.json"
    if not total:
        results = draw_problems(listing.problems, words)
        write_report(report_file, tally, cards, words)
        line = html.notice(words("batch.none_read"), "problem")
        yield BatchView(line, results, report=str(report_file))
        return
    yield BatchView(draw_progress(0, total, 0, None, words))
    began = shown = time.monotonic()
    pictures = analyze_pictures(
        analyzer, listing.pictures, networks=list(labels), face_crop=face_crop
    )
    with open_table(table_file, labels) as table:
        for done, result in enumerate(pictures, start=1):
            table.add(result)
            tally.add(result)
            if stopped():
                break
            now = time.monotonic()
            if now - shown > SECONDS_BETWEEN_UPDATES:
                shown = now
                left_s = (now - began) / done * (total - done)
                line = draw_progress(done, total, tally.faces, left_s, words)
                yield BatchView(line, draw_counts(tally, words))
        pictures.close()
    save_figure(draw_mean_heatmaps(tally, drawable_words(words)), heatmaps_file)
    write_report(report_file, tally, cards, words)
    yield BatchView(
        describe_end(done, total, tally, unavailable, words),
        draw_results(tally, words),
        str(table_file),
        str(heatmaps_file) if tally.faces else None,
        str(report_file),
    )


def write_report(file: Path, tally: Tally, cards: Mapping[str, Card], words: Words) -> None:
    """The counts, the mean maps' numbers and all files passed over, as JSON."""
    text = json.dumps(batch_report(tally, cards, words), indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def draw_progress(done: int, total: int, faces: int, left_s: float | None, words: Words) -> str:
    """A bar, and how far it is; `left_s` is an estimate in seconds, None before there is one."""
    text = words("batch.progress", done=done, total=total, faces=faces)
    if left_s is not None:
        text += words.gap + words("batch.remaining", time=describe_time(left_s, words))
    return (
        f'<div class="fer-notice fer-info batch-progress"><div class="fer-track" '
        f'role="progressbar" aria-valuemin="0" aria-valuemax="{total}" aria-valuenow="{done}" '
        f'aria-label="{escape(text, quote=True)}">'
        f'<span style="width:{100 * done / total:.1f}%"></span></div><p>{escape(text)}</p></div>'
    )


def describe_time(seconds: float, words: Words) -> str:
    if seconds < 90:
        return words("batch.seconds", count=max(1, round(seconds)))
    return words("batch.minutes", count=round(seconds / 60))


def describe_end(
    done: int, total: int, tally: Tally, unavailable: dict[str, str], words: Words
) -> str:
    text = words("batch.finished" if done == total else "batch.stopped", done=done, total=total)
    for name in unavailable:
        text += words.gap + words("batch.unavailable", network=DISPLAY_NAMES[name])
    return html.notice(text, "agree" if done == total and tally.faces else "info")


def draw_results(tally: Tally, words: Words) -> str:
    """All that a batch showed: counts, mean heatmaps, and the files that were passed over."""
    return (
        draw_counts(tally, words) + draw_means(tally, words) + draw_problems(tally.problems, words)
    )


def draw_counts(tally: Tally, words: Words) -> str:
    counts = [
        ("pictures", tally.pictures),
        ("faces", tally.faces),
        ("faceless", tally.faceless),
        ("problems", len(tally.problems)),
        ("disagreements", tally.disagreements),
    ]
    if tally.left_out:
        counts.append(("left_out", tally.left_out))
    cells = "".join(
        f"<div><dt>{words(f'batch.{key}')}</dt><dd>{count:,}</dd></div>" for key, count in counts
    )
    return f'<dl class="batch-counts">{cells}</dl>'


def draw_means(tally: Tally, words: Words) -> str:
    """A row of faces a network, an expression a face, with the number of faces in it."""
    if not tally.faces:
        return ""
    expressions = in_order({e for answers in tally.answers.values() for e in answers})
    rows = ""
    for network, answers in tally.answers.items():
        title = DISPLAY_NAMES[network]
        cells = ""
        for expression in expressions:
            count = answers.get(expression, 0)
            name = words.expression(expression)
            alt = words("batch.mean_alt", network=title, count=count, expression=name)
            picture = (
                html.image_tag(draw_mean(tally, network, expression), alt)
                if count
                else '<div class="batch-none"></div>'
            )
            caption = f"{name}<br>{words('batch.count', count=f'{count:,}')}"
            cells += f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
        unsure = words("batch.unsure_of", count=f"{tally.unsure[network]:,}")
        rows += (
            f'<section class="batch-network" style="--network:{NETWORK_COLORS[network]}">'
            f"<h3>{title}<small>{unsure}</small></h3>"
            f'<div class="batch-grid">{cells}</div></section>'
        )
    return (
        f'<h2>{words("batch.mean_title")}</h2>{rows}<div class="fer-legend">{html.color_bar(1)}'
        f"<p>{words('batch.mean_about')}</p></div>"
    )


def draw_problems(problems: Sequence[Problem], words: Words) -> str:
    """The files that gave nothing and why, folded; the first hundred by name."""
    if not problems:
        return ""
    lines = [problem.text(words) for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(words("batch.more_problems", count=len(problems) - SHOWN_PROBLEMS))
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    title = words("batch.problem_list", count=len(problems))
    opened = " open" if len(problems) <= OPEN_PROBLEMS else ""
    return (
        f'<details class="batch-problems"{opened}><summary>{title}</summary>'
        f"<ul>{items}</ul></details>"
    )


def describe_files(files: Sequence[Upload] | None, words: Words) -> str:
    """The line before a run."""
    if not files:
        return html.notice(words("batch.empty"))
    return html.notice(words("batch.given", count=len(files)))


def add_files(files: list[Upload] | None, more: list[Upload] | None) -> list[Upload]:
    """The list of files with a folder's pictures and zips at its end."""
    return [*(files or []), *(more or [])]


def read_uploads(payload) -> list[Upload] | None:
    """The uploaded files, in a list also where it is one file; a name may be anything."""
    if payload is None:
        return None
    files = getattr(payload, "root", [payload])
    return [Upload(str(Path(f.path)), f.orig_name or Path(f.path).name) for f in files]


def show_uploads(files: Sequence[Upload] | None) -> ListFiles | None:
    """The list of files as gradio shows it, each by its visitor's name for it."""
    if not files:
        return None
    shown = [
        FileData(path=file.path, orig_name=file.name, size=Path(file.path).stat().st_size)
        for file in files
    ]
    return ListFiles(root=shown)


# Gradio would make an empty file beside every upload, and forget its name.
_Files = own_kind(
    gr.File,
    preprocess=lambda self, payload: read_uploads(payload),
    postprocess=lambda self, files: show_uploads(files),
)
_Folder = own_kind(gr.UploadButton, preprocess=lambda self, payload: read_uploads(payload))


def build_batch_tab(choices: Choices, choice: gr.State, words: Words) -> None:
    """Lay out and wire the tab, inside a `gr.Tab`.

    Args:
        choice: the visitor's checkpoints, as the Models tab sets them.
    """
    # Counts the runs and changes, and the stops; changed in place, so that a run sees it. Then what
    # the last run is of.
    ticket = gr.State([0, 0, None])
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=280):
            files = _Files(
                label=words("batch.files"),
                file_count="multiple",
                height=240,
                elem_id="batch-files",
            )
            folder = _Folder(
                words("batch.folder"), file_count="directory", size="sm", elem_id="batch-folder"
            )
            face_crop = gr.Checkbox(
                label=words("batch.face_crop"), info=words("compare.face_crop_info")
            )
            start = gr.Button(words("batch.start"), variant="primary", elem_id="batch-start")
            stop = gr.Button(words("page.stop"), size="sm", interactive=False, elem_id="batch-stop")
            about = words("batch.about", pictures=LIMITS.pictures, megabytes=LIMITS.megabytes)
            gr.Markdown(about)
        with gr.Column(scale=3, min_width=320):
            line = gr.HTML(describe_files(None, words), elem_id="batch-line", min_height=84)
            with gr.Row():
                downloads = [
                    gr.DownloadButton(
                        words(f"batch.download_{name}"),
                        interactive=False,
                        size="sm",
                        min_width=150,
                        elem_id=f"batch-{kind}",
                    )
                    for name, kind in (("csv", "csv"), ("heatmaps", "png"), ("report", "json"))
                ]
            results = gr.HTML(elem_id="batch-results", min_height=RESULTS_HEIGHT_PX)

    def show(view: BatchView, running: bool) -> list:
        made = [
            gr.update(value=path, interactive=path is not None)
            for path in (view.table, view.heatmaps, view.report)
        ]
        buttons = [gr.update(interactive=not running), gr.update(interactive=running)]
        return [view.line, view.results, *made, *buttons]

    def run(files, face_crop, chosen, ticket):
        ticket[0] += 1
        ticket[2] = [files, face_crop, chosen]
        mine = list(ticket)
        analyzer, view = choices.analyzer(chosen), None
        for view in run_batch(analyzer, files, face_crop, words, lambda: ticket != mine):
            if ticket[0] != mine[0]:  # the files or the setting changed meanwhile
                # Gradio sends a generator's last output once more when it ends.
                yield [gr.skip()] * len(shown)
                return
            yield show(view, True)
        yield show(view, False)

    def forget(files, face_crop, chosen, ticket):
        # Who presses Analyse at once after a change is before the change's own event, which then
        # says what is being analysed already.
        if [files, face_crop, chosen] == ticket[2]:
            return [gr.skip()] * len(shown)
        ticket[0], ticket[2] = ticket[0] + 1, None
        return show(BatchView(describe_files(files, words)), False)

    def ask_to_stop(ticket):
        ticket[1] += 1
        return html.notice(words("batch.stopping")), gr.update(interactive=False)

    private = {"api_visibility": "private", "show_progress": "hidden"}
    shown = [line, results, *downloads, start, stop]
    asked = [files, face_crop, choice, ticket]
    start.click(run, asked, shown, trigger_mode="multiple", **private).failure(
        lambda: end_failed(words), None, [line, start, stop], **private
    )
    # Without `cancels`: the run ends by itself after its picture, and hands over what it has.
    stop.click(ask_to_stop, ticket, [line, stop], **private)
    gr.on(
        [files.change, face_crop.input, choice.change],
        forget,
        asked,
        shown,
        trigger_mode="always_last",
        **private,
    )
    folder.upload(add_files, [files, folder], files, js=NAME_FOLDERS, **private)
