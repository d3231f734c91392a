"""Results as HTML: the cards of the Compare tab. Plain functions, tested without a browser."""

import base64
import html
import io

import numpy as np
from PIL import Image

from fer_models.analysis import DISPLAY_NAMES, GradCam, NetworkResult
from fer_models.explain.attention import Attention
from fer_models.figures import HEAD_COLORS, NETWORK_COLORS, describe_wins, heat_colors
from fer_models.words import Words

# Features times the logit's gradient are parts of the logit. Grad-CAM++ weighs by a quotient of the
# gradient's powers, which does not grow with the logit; Eigen-CAM does not look at the logit.
LOGIT_METHODS = ("grad-cam", "hirescam", "layer-cam")


def image_tag(image: np.ndarray, alt: str, onload: str = "") -> str:
    """An <img> that holds (H,W,3) RGB uint8 itself; JPEG is made ten times faster than WebP."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = image.shape[:2]
    then = f' onload="{onload}"' if onload else ""
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(alt, quote=True)}" '
        f'width="{width}" height="{height}"{then}>'
    )


def notice(text: str, kind: str = "info") -> str:
    """The line above the columns; `kind` is info, agree, disagree or problem."""
    live = 'role="status" aria-live="polite"'
    return f'<div class="fer-notice fer-{kind}" {live}>{html.escape(text)}</div>'


def card(network: str, content: str, kind: str = "", more: str = "") -> str:
    """A section in a network's colour.

    Args:
        content: HTML.
        kind: a further class.
        more: further attributes.
    """
    color = NETWORK_COLORS.get(network, "#555")
    kinds = f"fer-card {kind}".rstrip()
    return f'<section class="{kinds}"{more} style="--network:{color}">{content}</section>'


def heading(network: str) -> str:
    """A network's name as a card's title."""
    return f"<h2>{html.escape(DISPLAY_NAMES.get(network, network))}</h2>"


def answer_of(probabilities: dict[str, float]) -> str:
    """The expression with the largest probability."""
    return max(probabilities, key=probabilities.__getitem__)


def answer_line(result: NetworkResult, words: Words) -> str:
    """A network's answer with its probability, and whether it is unsure."""
    unsure = f'<span class="fer-unsure">{words("page.unsure")}</span>' if result.unsure else ""
    answer = f"<strong>{words.expression(result.expression)}</strong> {result.probability:.2f}"
    return f'<p class="fer-answer">{answer} {unsure}</p>'


def probability_bars(
    probabilities: dict[str, float], words: Words, before: dict[str, float] | None = None
) -> str:
    """Every expression's probability, in the fixed order, so that columns compare at a glance.

    Args:
        before: where a thin mark stands on each bar.
    """
    answer = answer_of(probabilities)
    rows = ""
    for name, probability in probabilities.items():
        label, drawn, title = words.expression(name), track(probability), ""
        if before is not None:
            mark = f'<i class="fer-mark" style="left:{100 * before[name]:.1f}%"></i>'
            drawn = f'<span class="fer-marked">{drawn}{mark}</span>'
            title = f' title="{label} {before[name]:.2f} → {probability:.2f}"'
        rows += bar(label, drawn, f"{probability:.2f}", title, chosen=name == answer)
    return f'<div class="fer-bars">{rows}</div>'


def bar(label: str, drawn: str, number: str, more: str = "", *, chosen: bool = False) -> str:
    """A row of `fer-bars`: a name, what is drawn for it, and a number.

    Args:
        more: further attributes.
    """
    kinds = "fer-bar fer-chosen" if chosen else "fer-bar"
    return (
        f'<div class="{kinds}"{more}><span class="fer-name">{label}</span>{drawn}'
        f'<span class="fer-number">{number}</span></div>'
    )


def track(share: float) -> str:
    """A bar that is filled by a share 0..1 of its length."""
    filled = f'<span style="width:{100 * share:.1f}%"></span>'
    return f'<span class="fer-track">{filled}</span>'


def describe_change(before: dict[str, float], after: dict[str, float], words: Words) -> str:
    """What became of an answer: kept or replaced, and its probability before and after."""
    was, now = answer_of(before), answer_of(after)
    return words(
        "page.kept" if was == now else "page.replaced",
        was=words.expression(was),
        now=words.expression(now),
        before=f"{before[was]:.2f}",
        after=f"{after[was]:.2f}",
        instead=f"{after[now]:.2f}",
    )


def network_card(
    name: str,
    result: NetworkResult,
    crop: np.ndarray,
    heat: np.ndarray,
    view: str,
    top: float,
    words: Words,
) -> str:
    """One network's column: its answer, the face with its heatmap, its probabilities.

    Args:
        crop: the face (S,S,3) RGB uint8.
        heat: the face under the heat, or the heat alone where it stands beside the face.
        view: one of the Compare tab's `VIEWS`.
        top: the value that the brightest colour stands for.
    """
    alt, about = describe_heatmap(name, result.gradcam, words)
    unit = heat_unit(result.gradcam.method, words)
    return card(
        name,
        f"{heading(name)}{answer_line(result, words)}"
        f"{face_with_heat(crop, heat, view, alt, words)}{color_bar(top, unit=unit)}"
        f'<p class="fer-caption">{about}</p>{probability_bars(result.probabilities, words)}',
    )


def describe_heatmap(network: str, gradcam: GradCam, words: Words) -> tuple[str, str]:
    """A heatmap's text for those who cannot see it, and its caption."""
    title = DISPLAY_NAMES.get(network, network)
    if gradcam.method == "eigen-cam":
        keys = "compare.eigen_alt", "compare.eigen_about"
        return tuple(words(key, network=title) for key in keys)
    target = words.expression(gradcam.target)
    if gradcam.minus:
        target = words("compare.contrast", target=target, minus=words.expression(gradcam.minus))
    about = "compare.heatmap_about" if gradcam.max > 0 else "compare.heatmap_dark"
    method = words(f"methods.{gradcam.method}")
    keys = "compare.heatmap_alt", about
    return tuple(words(key, network=title, target=target, method=method) for key in keys)


def heat_unit(method: str, words: Words) -> str:
    """The unit of a method's values; empty where it has none that has a name."""
    return words("compare.logits") if method in LOGIT_METHODS else ""


def face_with_heat(crop: np.ndarray, heat: np.ndarray, view: str, alt: str, words: Words) -> str:
    """The heat over the face, beside it, or under a handle that uncovers it."""
    if view == "over":
        return image_tag(heat, alt)
    face = image_tag(crop, words("compare.face_alt"))
    if view == "beside":
        return f'<div class="fer-beside">{face}{image_tag(heat, alt)}</div>'
    # One place for every handle, kept by the page, so that a card drawn anew keeps it too.
    style, label = "document.body.style", html.escape(words("compare.wipe_label"), quote=True)
    every = "document.querySelectorAll('.fer-wipe input').forEach(all => all.value = this.value)"
    move = f"{style}.setProperty('--cut', this.value + '%'); {every}"
    keep = f"this.nextSibling.value = parseFloat({style}.getPropertyValue('--cut') || 50)"
    return (
        f'<div class="fer-wipe">{face}{image_tag(heat, alt, onload=keep)}<input type="range" '
        f'min="0" max="100" value="50" aria-label="{label}" oninput="{move}"></div>'
    )


def color_bar(high: float, low: float = 0, form: str = ".2g", unit: str = "") -> str:
    """The heat's colours between the values, written in `form`, of the darkest and brightest."""
    stops = heat_colors(np.linspace(0, 1, 9)[None])[0]
    gradient = ", ".join(f"rgb({r},{g},{b})" for r, g, b in stops)
    return (
        f'<div class="fer-scale"><span>{low:{form}}</span>'
        f'<span class="fer-gradient" style="background:linear-gradient(90deg,{gradient})"></span>'
        f"<span>{f'{max(low, high):{form}} {unit}'.rstrip()}</span></div>"
    )


def empty_card(name: str, text: str = "") -> str:
    """A column that waits, or says why it stays empty."""
    caption = f'<p class="fer-caption">{html.escape(text)}</p>'
    return card(name, heading(name) + caption, "fer-empty")


def heat_legend(words: Words) -> str:
    """What the heatmaps' colours mean, and what they do not."""
    return f'<div class="fer-legend"><p>{words("compare.legend")}</p></div>'


def attention_row(
    attention: Attention,
    maps: list[tuple[np.ndarray, float, float]],
    winners: np.ndarray,
    words: Words,
) -> str:
    """DDAMFN's heads: a picture for each head, the fused map, and which head won where.

    Args:
        maps: what `draw_attention_maps` gave.
        winners: the winner map drawn over the face.
    """
    heads = [words("page.head", number=i + 1) for i in range(len(attention.maps))]
    names = [*heads, words("compare.fused")]
    cells = [
        figure(
            image_tag(picture, words("compare.head_alt", name=name))
            + color_bar(high, low, form=".2f"),
            name,
        )
        for name, (picture, low, high) in zip(names, maps, strict=True)
    ]
    cells.append(figure(image_tag(winners, words("compare.winners_alt")), words("compare.winners")))
    keys = "".join(
        f'<span class="fer-key"><i style="background:{HEAD_COLORS[i]}"></i>'
        f"{describe_wins(attention, i, words)}</span>"
        for i in range(len(heads))
    )
    differences = [
        words(
            "compare.head_difference",
            one=i + 1,
            other=k + 1,
            value=f"{attention.pairwise_mse[i, k]:.4f}",
        )
        for i in range(len(heads))
        for k in range(i + 1, len(heads))
    ]
    about = words(
        "compare.heads_about",
        differences="; ".join(differences) or words("compare.one_head"),
    )
    return (
        f'<section class="fer-attention"><h2>{words("compare.heads_title")}</h2>'
        f'<div class="fer-maps">{"".join(cells)}</div><p class="fer-keys">{keys}</p>'
        f'<p class="fer-caption">{about}</p></section>'
    )


def figure(picture: str, caption: str) -> str:
    """A picture (HTML) with its caption below."""
    return f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"
