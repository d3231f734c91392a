"""The Heads tab: DDAMFN's attention heads from inside, and what it answers without one of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial

import gradio as gr
import numpy as np
import torch
from matplotlib.figure import Figure

from fer_models.analysis import DISPLAY_NAMES
from fer_models.choice import Choices
from fer_models.explain.attention import (
    Attention,
    ChannelAttention,
    attend,
    attend_channels,
    has_attention,
    probabilities_without_heads,
)
from fer_models.faces import align_face
from fer_models.figures import (
    HEAD_COLORS,
    NETWORK_COLORS,
    draw_profiles,
    draw_winners,
    drawable_words,
    name_scale,
    overlay_heatmap,
    save_figure,
    set_typeface,
)
from fer_models.report import attention_report
from fer_models.ui import html
from fer_models.ui.compare import (
    EXAMPLES_FOLDER,
    KEEP_STATE_S,
    PHOTOGRAPH,
    CompareTab,
    Picture,
    example_picture,
)
from fer_models.ui.picture import (
    download_button,
    example_button,
    explain_error,
    follow,
    make_download_folder,
    read_controls,
    slider,
)
from fer_models.ui.progress import waiting_line
from fer_models.words import Words

NETWORK = "ddamfn"
MAP_SIDE_PX = 252  # a multiple of 7, so that the cells' edges fall on whole pixels
SCALES = ("own", "unit")


@dataclass(frozen=True)
class HeadsLook:
    """How the maps are drawn.

    Attributes:
        scale: "own", each map from its lowest value to its highest, or "unit", all from 0 to 1.
        strength: of the heat over the face, 0..1.
        cells: whether the 7x7 cells are drawn as they were computed.
    """

    scale: str = "own"
    strength: float = 0.6
    cells: bool = True


@dataclass(frozen=True)
class HeadsView:
    """DDAMFN's heads on one face, from one run of its trunk.

    Attributes:
        face: the aligned face (252,252,3) RGB uint8.
        mean: the heads, every value a mean over the channels.
        channels: the same in every channel.
        probabilities: {expression: probability} with all heads.
        without: the same with each head in turn switched off.
        chosen: the visitor's checkpoints, see `Choices.analyzer`.
    """

    face: np.ndarray
    mean: Attention
    channels: ChannelAttention
    probabilities: dict[str, float]
    without: tuple[dict[str, float], ...]
    chosen: dict[str, str]

    @property
    def num_channels(self) -> int:
        return self.channels.columns.shape[1]


@torch.no_grad()
def look_into_heads(
    choices: Choices, chosen: dict[str, str], picture: Picture, words: Words
) -> HeadsView:
    """The heads on a picture's chosen face.

    Raises:
        ValueError: if DDAMFN has no weights, or no DDA heads; the message is meant for the page.
    """
    analyzer = choices.analyzer(chosen)
    checkpoint = analyzer.checkpoint(NETWORK)
    card, head = checkpoint.card, checkpoint.head
    if not has_attention(head):
        raise ValueError(words("heads.headless"))
    landmarks = picture.faces[picture.chosen].landmarks
    crop = align_face(picture.image, landmarks)
    # The checkpoint's own head stays on the CPU, wherever the trunk runs.
    features = analyzer.runner(NETWORK).trunk(card.preprocessing([crop])).cpu()  # (1, C, 7, 7)
    answers = [
        card.calibration.probabilities(head(features))[0].numpy(),
        *probabilities_without_heads(head, features, card.calibration)[0],
    ]
    named = [dict(zip(card.labels, answer.tolist(), strict=True)) for answer in answers]
    return HeadsView(
        align_face(picture.image, landmarks, MAP_SIDE_PX),
        attend(head, features)[0],
        attend_channels(head, features)[0],
        named[0],
        tuple(named[1:]),
        dict(chosen),
    )


def attention_of_channel(channels: ChannelAttention, channel: int) -> Attention:
    """One channel's heads in the form of their mean: here a map is exactly column times row."""
    maps = channels.maps(channel)  # (heads, 7, 7)
    differences = np.square(maps[:, None] - maps[None]).mean(axis=(2, 3))
    return Attention(
        columns=channels.columns[:, channel],
        rows=channels.rows[:, channel],
        maps=maps,
        fused=channels.fused(channel),
        winner=maps.argmax(axis=0),
        winner_share=np.ones_like(maps[0]),
        pairwise_mse=differences,
    )


def _all_maps(channels: ChannelAttention) -> np.ndarray:
    """(heads,C,7,7) every head's map in every channel."""
    return channels.columns[..., :, None] * channels.rows[..., None, :]


def clearest_channel(channels: ChannelAttention) -> int:
    """The channel whose fused map has the widest range from its darkest to its brightest cell."""
    return int(np.ptp(_all_maps(channels).max(axis=0), axis=(1, 2)).argmax())


def most_different_channel(channels: ChannelAttention) -> int:
    """The channel in which the heads' maps differ most, by their variance over the heads."""
    return int(_all_maps(channels).var(axis=0).mean(axis=(1, 2)).argmax())


def draw_mean(view: HeadsView, look: HeadsLook, words: Words) -> str:
    """The row of pictures for the mean over the channels, as HTML."""
    maps = _all_maps(view.channels)
    products = view.mean.columns[:, :, None] * view.mean.rows[:, None, :]
    about = words(
        "heads.mean_about",
        channels=view.num_channels,
        spread=f"{np.ptp(view.mean.maps, axis=(1, 2)).max():.2f}",
        widest=f"{np.ptp(maps, axis=(2, 3)).max():.2f}",
        apart=f"{np.abs(products - view.mean.maps).max():.2f}",
    )
    return _draw_row(view.face, view.mean, look, words) + _paragraph(about)


def draw_channel(view: HeadsView, channel: int, look: HeadsLook, words: Words) -> str:
    """The row of pictures for one channel, with one cell's product worked out, as HTML."""
    attention = attention_of_channel(view.channels, channel)
    products = []
    for number, head_map in enumerate(attention.maps):
        row, column = np.unravel_index(head_map.argmax(), head_map.shape)
        products.append(
            words(
                "heads.product",
                head=words("page.head", number=number + 1),
                row=row + 1,
                column=column + 1,
                one=f"{attention.columns[number, row]:.2f}",
                other=f"{attention.rows[number, column]:.2f}",
                value=f"{head_map[row, column]:.2f}",
            )
        )
    return _draw_row(view.face, attention, look, words) + _paragraph("".join(products))


def _paragraph(text: str) -> str:
    return f'<p class="fer-caption heads-about">{text}</p>'


def _draw_row(face: np.ndarray, attention: Attention, look: HeadsLook, words: Words) -> str:
    """Every head with its profiles, the fused map and the winners, side by side."""
    cells = []
    for number, head_map in enumerate(attention.maps):
        name = words("page.head", number=number + 1)
        bars = _profile(attention.rows[number], "row", words)
        bars += _profile(attention.columns[number], "column", words)
        picture, low, high = _draw_map(face, head_map, look)
        alt = words("heads.map_alt", name=name)
        body = _frame(html.image_tag(picture, alt), bars) + html.color_bar(high, low, ".2f")
        about = words("heads.head_about", head=name)
        cells.append(_figure(name, body, about, HEAD_COLORS[number]))
    picture, low, high = _draw_map(face, attention.fused, look)
    alt = words("heads.map_alt", name=words("compare.fused"))
    body = _frame(html.image_tag(picture, alt)) + html.color_bar(high, low, ".2f")
    cells.append(_figure(words("compare.fused"), body, words("heads.fused_about")))
    winners = html.image_tag(
        draw_winners(attention, face, look.strength), words("compare.winners_alt")
    )
    several = (attention.winner_share < 1).any()
    shares = _winner_shares(attention) if several else ""
    about = words("heads.shares_about" if several else "heads.winners_about")
    body = _frame(f'<div class="heads-map">{winners}{shares}</div>') + _winner_keys(
        attention, words
    )
    cells.append(_figure(words("compare.winners"), body, about))
    return f'<div class="heads-pictures">{"".join(cells)}</div>'


def _draw_map(
    face: np.ndarray, values: np.ndarray, look: HeadsLook
) -> tuple[np.ndarray, float, float]:
    """A map (7,7) over the face, and the values of its darkest and brightest colour."""
    low, high = (0.0, 1.0) if look.scale == "unit" else (float(values.min()), float(values.max()))
    drawn = overlay_heatmap(
        face, values - low, strength=look.strength, maximum=high - low, cells=look.cells
    )
    return drawn, low, high


def _profile(values: np.ndarray, kind: str, words: Words) -> str:
    """Seven bars, "row" above the map or "column" at its left, from 0 at the map to 1 outside."""
    bars = "".join(
        f'<i style="--value:{value:.3f}" '
        f'title="{words(f"heads.{kind}_value", number=number, value=f"{value:.2f}")}"></i>'
        for number, value in enumerate(values, start=1)
    )
    label = words(f"heads.{kind}", values=words.join(f"{value:.2f}" for value in values))
    return f'<div class="heads-{kind}" role="img" aria-label="{label}">{bars}</div>'


def _frame(picture: str, bars: str = "") -> str:
    """A map with its profiles; without any, their places stay free, so that maps line up."""
    times = '<span class="heads-times" aria-hidden="true">×</span>' if bars else ""
    return f'<div class="heads-frame">{times}{bars}{picture}</div>'


def _figure(name: str, body: str, about: str, color: str = "transparent") -> str:
    return (
        f'<figure style="--head:{color}"><figcaption>{name}</figcaption>{body}'
        f'<p class="fer-caption">{about}</p></figure>'
    )


def _winner_shares(attention: Attention) -> str:
    """In how many of 100 channels the cell's winner wins, a number on each cell."""
    numbers = "".join(f"<b>{100 * share:.0f}</b>" for share in attention.winner_share.ravel())
    return f'<div class="heads-shares">{numbers}</div>'


def _winner_keys(attention: Attention, words: Words) -> str:
    keys = "".join(
        f'<span class="fer-key"><i style="background:{HEAD_COLORS[number]}"></i>'
        + words(
            "heads.won",
            head=words("page.head", number=number + 1),
            cells=int((attention.winner == number).sum()),
        )
        + "</span>"
        for number in range(len(attention.maps))
    )
    return f'<p class="fer-keys heads-keys">{keys}</p>'


def draw_differences(view: HeadsView, channel: int, words: Words) -> str:
    """The table of mean squared differences between the heads' maps; empty for a single head."""
    here = attention_of_channel(view.channels, channel).pairwise_mse
    heads = len(here)
    rows = "".join(
        f"<tr><th>{words('heads.pair', one=i + 1, other=k + 1)}</th>"
        f"<td>{view.mean.pairwise_mse[i, k]:.4f}</td><td>{here[i, k]:.4f}</td></tr>"
        for i in range(heads)
        for k in range(i + 1, heads)
    )
    if not rows:
        return ""
    return (
        f'<table class="heads-table"><caption>{words("heads.differences")}</caption>'
        f"<thead><tr><td></td><th>{words('heads.all_channels', channels=view.num_channels)}</th>"
        f"<th>{words('heads.one_channel', channel=channel)}</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{_paragraph(words('heads.differences_about'))}"
    )


def draw_without(view: HeadsView, words: Words) -> str:
    """The probabilities with all heads and with each in turn switched off, side by side."""
    answer = html.answer_of(view.probabilities)
    said = f"<strong>{words.expression(answer)}</strong> {view.probabilities[answer]:.2f}"
    title = words("heads.all_heads")
    cards = [_answer_card(title, said, html.probability_bars(view.probabilities, words))]
    for number, after in enumerate(view.without, start=1):
        title = words("heads.without", head=words("page.head", number=number))
        said = html.describe_change(view.probabilities, after, words)
        bars = html.probability_bars(after, words, view.probabilities)
        cards.append(_answer_card(title, said, bars))
    about = words("heads.without_about" if len(view.without) > 1 else "heads.without_only_about")
    return f'<div class="heads-answers">{"".join(cards)}</div>{_paragraph(about)}'


def _answer_card(title: str, said: str, bars: str) -> str:
    return html.card(NETWORK, f'<h3>{title}</h3><p class="heads-said">{said}</p>{bars}')


def heads_report(view: HeadsView, channel: int) -> dict:
    """Everything shown, as a JSON object."""
    return {
        "network": NETWORK,
        "channels": view.num_channels,
        "mean": attention_report(view.mean),
        "channel": {
            "number": channel,
            **attention_report(attention_of_channel(view.channels, channel)),
        },
        "probabilities": view.probabilities,
        "probabilities_without_head": {
            str(number): probabilities for number, probabilities in enumerate(view.without, start=1)
        },
    }


def draw_heads(view: HeadsView, channel: int, look: HeadsLook, words: Words) -> Figure:
    """Everything shown as a figure; see `drawable_words`."""
    heads = len(view.mean.maps)
    figure = Figure(figsize=(2.6 * (heads + 2), 8.6), dpi=150, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[5.6, 3])
    grid = above.subplots(2, heads + 2, squeeze=False)
    one = attention_of_channel(view.channels, channel)
    rows = {
        words("heads.mean"): view.mean,
        words("heads.one_channel", channel=channel): one,
    }
    for axes, (name, attention) in zip(grid, rows.items(), strict=True):
        _draw_figure_row(axes, view.face, attention, look, words)
        axes[0].set_ylabel(name, fontsize=9)
    answers = below.subplots(1, heads + 1, sharey=True, squeeze=False)[0]
    named = {words("heads.all_heads"): view.probabilities}
    for number, probabilities in enumerate(view.without, start=1):
        head = words("page.head", number=number)
        named[words("heads.without", head=head)] = probabilities
    expressions = [words.expression(expression) for expression in view.probabilities]
    for axis, (name, probabilities) in zip(answers, named.items(), strict=True):
        axis.barh(expressions, list(probabilities.values()), color=NETWORK_COLORS[NETWORK])
        axis.plot(list(view.probabilities.values()), range(len(probabilities)), "k|", ms=9)
        axis.set(xlim=(0, 1), title=name)
        axis.title.set_fontsize(9)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    answers[0].invert_yaxis()
    below.supxlabel(words("heads.bars"), fontsize=8)
    set_typeface(figure, words)
    return figure


def _draw_figure_row(
    axes, face: np.ndarray, attention: Attention, look: HeadsLook, words: Words
) -> None:
    """The heads with their profiles (bars from 0 to 1), the fused map, the winners."""
    for number, head_map in enumerate(attention.maps):
        picture, low, high = _draw_map(face, head_map, look)
        drawn = draw_profiles(
            picture,
            attention.columns[number],
            attention.rows[number],
            color=HEAD_COLORS[number],
        )
        axes[number].imshow(drawn)
        axes[number].set_title(words("page.head", number=number + 1), fontsize=9)
        axes[number].set_xlabel(name_scale(low, high, words), fontsize=7)
    picture, low, high = _draw_map(face, attention.fused, look)
    axes[-2].imshow(picture)
    axes[-2].set_title(words("compare.fused"), fontsize=9)
    axes[-2].set_xlabel(name_scale(low, high, words), fontsize=7)
    axes[-1].imshow(draw_winners(attention, face, look.strength))
    axes[-1].set_title(words("compare.winners"), fontsize=9)
    won = (
        words(
            "heads.won",
            head=words("page.head", number=number + 1),
            cells=(attention.winner == number).sum(),
        )
        for number in range(len(attention.maps))
    )
    axes[-1].set_xlabel("\n".join(won), fontsize=7)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)


def write_json(view: HeadsView, channel: int) -> str:
    """What is shown as a JSON file; its path."""
    file = make_download_folder() / "heads.json"
    file.write_text(json.dumps(heads_report(view, channel), indent=2) + "\n")
    return str(file)


def write_figure(view: HeadsView, channel: int, look: HeadsLook, words: Words) -> str:
    """What is shown as a PNG file; its path."""
    file = make_download_folder() / "heads.png"
    save_figure(draw_heads(view, channel, look, drawable_words(words)), file)
    return str(file)


@dataclass(frozen=True)
class _Results:
    """The components that show a `HeadsView`, in the order of `all`."""

    view: gr.State
    line: gr.HTML
    example: gr.Button
    body: gr.Column
    mean: gr.HTML
    channel: gr.Slider
    one: gr.HTML
    differences: gr.HTML
    off: gr.HTML

    def all(self) -> list:
        return [getattr(self, field.name) for field in fields(self)]


def show_heads(
    choices: Choices,
    chosen: dict[str, str],
    words: Words,
    picture: Picture | None,
    view: HeadsView | None,
    look: HeadsLook,
) -> Iterator[list]:
    """What all results must show for a picture; nothing new where its face is shown already."""
    rest = [gr.skip()] * 5
    if picture is None or not picture.faces:
        text = html.notice(words("page.no_face_yet"))
        yield [None, text, gr.update(visible=True), gr.update(visible=False), *rest]
        return
    face = align_face(picture.image, picture.faces[picture.chosen].landmarks, MAP_SIDE_PX)
    if view is not None and view.chosen == chosen and np.array_equal(view.face, face):
        yield [gr.skip()] * (4 + len(rest))
        return
    hidden = gr.update(visible=False)
    yield [None, waiting_line(words("compare.looking_at_face")), hidden, gr.skip(), *rest]
    try:
        view = look_into_heads(choices, chosen, picture, words)
    except ValueError as error:
        yield [None, html.notice(explain_error(error, words), "problem"), hidden, hidden, *rest]
        return
    number = clearest_channel(view.channels)
    yield [
        view,
        html.notice(describe_view(view, words)),
        hidden,
        gr.update(visible=True),
        draw_mean(view, look, words),
        gr.update(value=number, maximum=view.num_channels - 1),
        draw_channel(view, number, look, words),
        draw_differences(view, number, words),
        draw_without(view, words),
    ]


def build_heads_tab(
    choices: Choices, choice: gr.State, words: Words, tab: gr.Tab, compare: CompareTab
) -> None:
    """Lay out and wire the tab, inside `tab`; its face is Compare's.

    Args:
        choice: the visitor's checkpoints, as the Models tab sets them.
    """
    view_state = gr.State(time_to_live=KEEP_STATE_S)
    line = gr.HTML(html.notice(words("page.no_face_yet")), elem_id="heads-line")
    example = example_button(words, "heads-example")
    gr.HTML(f'<div class="fer-legend"><p>{words("heads.about")}</p></div>')
    with gr.Column(visible=False) as body:
        with gr.Row():
            look = _build_look(words)
        gr.HTML(f"<h2>{words('heads.mean')}</h2>", elem_classes="heads-title")
        mean = gr.HTML(elem_id="heads-mean")
        gr.HTML(f"<h2>{words('heads.channel_title')}</h2>", elem_classes="heads-title")
        with gr.Row(equal_height=False):
            label = words("heads.channel")
            channel = slider(0, 511, 0, step=1, label=label, scale=3, elem_id="heads-channel")
            with gr.Column(min_width=200):
                finders = {
                    gr.Button(words(f"heads.{name}"), size="sm", elem_id=f"heads-{name}"): find
                    for name, find in (
                        ("clearest", clearest_channel),
                        ("different", most_different_channel),
                    )
                }
        one = gr.HTML(elem_id="heads-one")
        differences = gr.HTML(elem_id="heads-differences")
        gr.HTML(f"<h2>{words('heads.off')}</h2>", elem_classes="heads-title")
        off = gr.HTML(elem_id="heads-off")
        shown = [view_state, channel, *look]
        with gr.Row():
            download_button(
                words("page.download_json"), write_json, [view_state, channel], "heads-json", words
            )
            download_button(
                words("page.download_png"),
                lambda view, number, *values: write_figure(view, number, read_look(values), words),
                shown,
                "heads-png",
                words,
            )
    read_look = partial(read_controls, HeadsLook)
    results = _Results(view_state, line, example, body, mean, channel, one, differences, off).all()

    def show(picture, view, chosen, *values):
        yield from show_heads(choices, chosen, words, picture, view, read_look(values))

    def show_example(*values):
        yield from show(example_picture(words), None, *values)

    def redraw(view, number, *values):
        if view is None or number is None:
            return [gr.skip()] * 2
        drawn = read_look(values)
        return draw_mean(view, drawn, words), draw_channel(view, number, drawn, words)

    def redraw_channel(view, number, *values):
        if view is None or number is None:  # the field beside the slider may be emptied
            return [gr.skip()] * 2
        drawn = draw_channel(view, int(number), read_look(values), words)
        return drawn, draw_differences(view, int(number), words)

    def find_channel(find, view):
        if view is None:
            raise gr.Error(words("page.gone"), print_exception=False)
        return find(view.channels)

    private = {"api_visibility": "private", "show_progress": "hidden"}
    latest = {**private, "trigger_mode": "always_last"}
    asked = [compare.picture, view_state, choice, *look]
    tab.select(show, asked, results, **latest)
    follow(compare.picture, "heads-line", show, asked, results)
    example.click(show_example, [choice, *look], results, **private).success(
        lambda: str(EXAMPLES_FOLDER / PHOTOGRAPH), None, compare.input, **private
    )
    for component in look:
        component.change(redraw, shown, [mean, one], **latest)
    channel.change(redraw_channel, shown, [one, differences], **latest)
    for button, find in finders.items():
        button.click(partial(find_channel, find), view_state, channel, **private)


def _build_look(words: Words) -> list:
    """The components that make a `HeadsLook`."""
    start = HeadsLook()
    return [
        gr.Radio(
            words.choices("heads.scale_", SCALES),
            value=start.scale,
            label=words("heads.scale"),
            min_width=300,
            elem_id="heads-scale",
        ),
        slider(
            0,
            1,
            value=start.strength,
            step=0.05,
            label=words("compare.strength"),
            min_width=220,
            elem_id="heads-strength",
        ),
        gr.Checkbox(start.cells, label=words("compare.cells"), elem_id="heads-cells"),
    ]


def describe_view(view: HeadsView, words: Words) -> str:
    """The line at the top: DDAMFN's answer, and what became of it without each head."""
    answer = html.answer_of(view.probabilities)
    text = words(
        "heads.line",
        network=DISPLAY_NAMES[NETWORK],
        expression=words.expression(answer),
        probability=f"{view.probabilities[answer]:.2f}",
    )
    changes = [
        words(
            "heads.line_without",
            head=words("page.head", number=number),
            change=html.describe_change(view.probabilities, after, words),
        )
        for number, after in enumerate(view.without, start=1)
    ]
    return "".join([text, *changes])
