"""The look of reports: a page of HTML that asks the network for nothing, its figures by Plotly, and figures as PNG."""

from collections.abc import Container, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import write_with

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which readers with any colour vision can tell apart; yellow last, as it is faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
GRAY = "#5b6470"
FONT = {
    "family": "Inter, Segoe UI, Helvetica Neue, Liberation Sans, Arial, sans-serif",
    "size": 13,
    "color": "#1b1f24",
}
_GRID = "#e8ebef"
_HEAD = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
)


def document(title: str, body: Iterable[str]) -> str:
    """A whole page, with Plotly in it."""
    from plotly.offline import get_plotlyjs

    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    written = "\n".join(body)
    return (
        f"{_HEAD}<title>{escape(title)}</title>\n<style>\n{css}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<main>\n{written}\n</main>\n</body>\n</html>\n"
    )


def embedded(name: str, figure: "go.Figure") -> str:
    """The markup of an interactive figure."""
    options = {
        "displaylogo": False,
        "displayModeBar": "hover",
        "responsive": True,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    }
    markup: str = figure.to_html(full_html=False, include_plotlyjs=False, config=options, div_id=f"figure-{name}")
    return markup


def captioned(markup: str, caption: str) -> str:
    """A figure with its caption, which is HTML."""
    return f"<figure>{markup}<figcaption>{caption}</figcaption></figure>"


def folded(name: str, content: str) -> str:
    """Content that a click on its name opens."""
    return f"<details><summary>{escape(name)}</summary>{content}</details>"


def definitions(content: Mapping[str, str]) -> str:
    """Names and what they stand for."""
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in content.items())
    return f"<dl>{pairs}</dl>"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: int,
    best: Container[tuple[int, int]] = (),
    first: Container[int] = (),
) -> str:
    """A table that scrolls sideways where it is wide.

    Args:
        header: names of the columns.
        rows: cells, which are HTML.
        words: how many columns, from the left, hold words; the others hold numbers and are set to the right.
        best: places (row, column) of cells in bold.
        first: rows with a line above them.
    """
    kinds = ["word" if column < words else "" for column in range(len(header))]
    head = "".join(f'<th class="{kind}">{escape(name)}</th>' for name, kind in zip(header, kinds, strict=True))
    written = []
    for number, cells in enumerate(rows):
        inner = "".join(
            f'<td class="{kinds[column]}{" best" if (number, column) in best else ""}">{cell}</td>'
            for column, cell in enumerate(cells)
        )
        written.append(f"<tr{' class=first' if number in first else ''}>{inner}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(written)}</tbody></table></div>'


def swatch(color: str) -> str:
    """A small square of a colour."""
    return f'<span class="key" style="background:{color}"></span>'


def styled(figure: "go.Figure", height: int, legend: bool) -> "go.Figure":
    """Give a figure the fonts, margins, axes and panel titles of our reports."""
    for title in figure.layout.annotations:
        title.update(font={"size": 14, "weight": 700}, xanchor="left", x=_left(figure, title), yshift=4)
    figure.update_layout(
        template="plotly_white", font=FONT, height=height,
        margin={"l": 10, "r": 16, "t": 70 if legend else 40, "b": 40},
        legend={"orientation": "h", "y": 1, "yref": "container", "yanchor": "top", "x": 0}, showlegend=legend,
        hoverlabel={"font": FONT},
    )  # fmt: skip
    figure.update_xaxes(
        showgrid=False,
        gridcolor=_GRID,
        zeroline=False,
        linecolor="#9aa2ad",
        showline=True,
        automargin=True,
        title_font_size=13,
    )
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, automargin=True, title_font_size=13, ticklabelstandoff=4)
    return figure


def faint(color: str, opacity: float = 0.16) -> str:
    """A colour such as `#0072B2`, see-through.

    >>> faint("#0072B2")
    'rgba(0, 114, 178, 0.16)'
    """
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def save_png(figure: "Figure", path: str | Path) -> None:
    """Write a figure of matplotlib at 150 dpi, atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    write_with(path, lambda temporary: figure.savefig(temporary, dpi=150, format="png"))


def plain(axes: "Axes", *grids: str) -> None:
    """Axes of matplotlib without a frame, and with faint grid lines across these axes (`x`, `y`)."""
    for grid in grids:
        axes.grid(axis=grid, alpha=0.25)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _left(figure: "go.Figure", title: "go.layout.Annotation") -> float:
    """The left end of the panel below a title that stands over its middle."""
    domains: Sequence[Any] = [axis.domain for axis in figure.select_xaxes()]
    return float(min(domains, key=lambda domain: abs((domain[0] + domain[1]) / 2 - title.x))[0])
