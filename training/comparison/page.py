"""The report: one HTML file with tables, figures, configs and provenance, that asks the network for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import yaml

from training.comparison.figures import model_colors
from training.comparison.interactive import figures
from training.comparison.results import MEASURES, Results
from training.comparison.table import NAMES, Table, main_table, published_table
from training.files import write_text
from wavpool.pages import captioned, definitions, document, embedded, folded, swatch
from wavpool.pages import table as table_html

_CAPTIONS = {
    "accuracy": "Accuracy of every run: ring, validation; dot, test; stroke, mean over the seeds.",
    "histories": "Validation metrics by epoch: mean over the seeds, band ± one standard deviation. A run that stopped "
    "early keeps its last value. Click a name to hide a model, twice to see it alone; drag to zoom.",
    "costs": "Parameters, of which the hatched ones can never reach the output; training time of a run; median time "
    "of one forward pass of one image. Error bars: ± one standard deviation over the seeds.",
}
_HEADINGS = {"accuracy": "Accuracy", "histories": "Training", "costs": "Cost"}
_NOTES = (
    "Accuracy, ROC-AUC (from probabilities, one class against the rest, macro average) and F1 (macro) are those of the "
    "selected weights; ± is the sample standard deviation over the seeds. Parameters are live if they can reach the "
    "output. Training time is that of all epochs with their validation; inference is the median of 50 passes of one "
    "image after 10 to warm up. Both were measured in each run, with the threads stated below, model after model "
    "within each seed. Compare the times only if nothing else ran on the machine, which with several workers is not so."
)
_PUBLISHED = (
    "Validation accuracy. Published: the stored results of the original project (arXiv 2306.08734). The means of "
    "the best epochs are compared where they are stored, those of the last epoch otherwise."
)


def write_page(results: Results, output: Path) -> Path:
    """Write ``report.html`` to ``output`` and return its path."""
    path = output / "report.html"
    write_text(path, page(results))
    return path


def page(results: Results) -> str:
    """The whole document."""
    return document(results.plan.experiment.title, _body(results))


def _body(results: Results) -> Iterable[str]:
    experiment = results.plan.experiment
    yield f"<h1>{escape(experiment.title)}</h1>\n<p>{escape(results.plan.about)}</p>"
    yield f'<p class="facts">{escape(_facts(results))}</p>'
    yield "<h2>Results</h2>" + _html(main_table(results), results, best=True)
    yield f'<p class="note">{escape(_NOTES)}</p>'
    if (table := published_table(results)) is not None:
        yield "<h2>Beside the published values</h2>" + _html(table, results)
        yield f'<p class="note">{escape(f"{_PUBLISHED} {results.plan.differs}".rstrip())}</p>'
    for name, figure in figures(results).items():
        yield f"<h2>{_HEADINGS[name]}</h2>\n{captioned(embedded(name, figure), _CAPTIONS[name])}"
    yield "<h2>Every run</h2>" + folded(f"{len(results.runs)} runs", _html(_runs(results), results))
    yield "<h2>Settings</h2>" + "\n".join(_configs(results))
    yield f"<h2>Provenance</h2>{definitions(_provenance(results))}"


def _facts(results: Results) -> str:
    seeds = ", ".join(map(str, sorted(results.runs["seed"].unique())))
    data = ", ".join(NAMES.get(each, each) for each in results.plan.data)
    seconds = sum(each["provenance"]["cost"]["wall_seconds"] for each in results.metrics)
    return f"{len(results.runs)} runs · {data} · seeds {seeds} · {seconds / 60:.1f} minutes of computing in all"


def _html(table: Table, results: Results, best: bool = False) -> str:
    """A table; with ``best`` the highest accuracies of each data set are bold. A colour stands by each model's name."""
    colors = {run.label: swatch(model_colors(results)[run.key]) for run in results.plan.runs}
    rows = [[colors.get(cell, "") + escape(cell) for cell in cells] for cells in table.rows]
    groups = [cells[0] if table.header[0] == "data" else "" for cells in table.rows]
    first = {number for number, group in enumerate(groups) if number and group != groups[number - 1]}
    return table_html(table.header, rows, table.labels, _best(table) if best else (), first)


def _best(table: Table) -> set[tuple[int, int]]:
    """Places of the highest mean of each accuracy column within each data set."""
    marked: set[tuple[int, int]] = set()
    groups = [row[0] if table.header[0] == "data" else "" for row in table.rows]
    for column, name in enumerate(table.header):
        if "accuracy" in name:
            for group in set(groups):
                numbers = [number for number, each in enumerate(groups) if each == group]
                values = {number: float(table.rows[number][column].split()[0]) for number in numbers}
                marked |= {(number, column) for number in numbers if values[number] == max(values.values())}
    return marked


def _runs(results: Results) -> Table:
    shown = [name for name in MEASURES if "one_hot" not in name and "parameters" not in name]
    header = ["data", "model", "seed", *(name.replace("_", " ") for name in shown), "folder"]
    rows = [
        [
            NAMES.get(row["data"], row["data"]),
            row["model"],
            str(row["seed"]),
            *(f"{row[name]:.5g}" for name in shown),
            row["run"],
        ]
        for _, row in results.runs.iterrows()
    ]
    return Table(header, rows, 2)


def _configs(results: Results) -> Iterable[str]:
    """The settings of each model and data set, once for all seeds."""
    seen = set()
    for (_, row), metrics in zip(results.runs.iterrows(), results.metrics, strict=True):
        data, model = str(row["data"]), str(row["model"])
        if (data, model) not in seen:
            seen.add((data, model))
            config = {name: value for name, value in metrics["provenance"]["config"].items() if name != "seed"}
            name = f"{model} on {NAMES.get(data, data)}"
            yield folded(name, f"<pre>{escape(yaml.safe_dump(config, sort_keys=False))}</pre>")


def _provenance(results: Results) -> dict[str, str]:
    all_of: list[dict[str, Any]] = [metrics["provenance"] for metrics in results.metrics]
    machines = [each["machine"] for each in all_of]
    versions = {name: {each["versions"][name] for each in all_of} for name in all_of[0]["versions"]}
    return {
        "preset": results.plan.preset,
        "commit": _counted(each["commit"] or "outside a repository" for each in all_of),
        "processor": _counted(f"{each['processor']}, {each['cpus']} CPUs" for each in machines),
        "GPU": _counted(each["gpu"] or "none" for each in machines),
        "threads of a run": _counted(str(each["threads"]) for each in machines),
        "system": _counted(each["platform"] for each in machines),
        "versions": ", ".join(f"{name} {' / '.join(sorted(map(str, values)))}" for name, values in versions.items()),
        "finished": f"{min(each['finished'] for each in all_of)} to {max(each['finished'] for each in all_of)}",
        "peak memory": f"{max(each['cost']['peak_rss_mb'] for each in all_of):,.0f} MB",
    }


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    return (
        next(iter(counts))
        if len(counts) == 1
        else "; ".join(f"{value} ({count} runs)" for value, count in counts.items())
    )
