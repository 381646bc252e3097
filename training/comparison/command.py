"""One experiment from its preset to its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from training.callbacks import LAST
from training.comparison.budget import count_parameters
from training.comparison.figures import write_figures
from training.comparison.page import write_page
from training.comparison.plan import Choice, Experiment, Plan, Run, build_plan, with_finished
from training.comparison.progress import clock
from training.comparison.results import collect
from training.comparison.runner import execute, stored_metrics
from training.comparison.search import found_configs, plan_searches, run_searches
from training.comparison.table import Table, main_table, published_table, write_tables
from training.config import ConfigError
from training.networks import check_names


@dataclass(frozen=True)
class Settings:
    """Where and how an experiment is computed.

    Attributes:
        output: folder of its runs and results.
        workers: runs at a time.
        threads: torch threads of each.
        dry_run: print the plan and stop.
    """

    output: Path
    workers: int
    threads: int
    dry_run: bool = False

    @classmethod
    def checked(cls, output: Path, workers: int, threads: int | None, dry_run: bool = False) -> Settings:
        """Settings of the command line; torch's own number of threads, shared out, where none is given."""
        for name, value in {"workers": workers, "threads": threads}.items():
            if value is not None and value < 1:
                raise ConfigError(f"--{name} must be at least 1, not {value}")
        return cls(output, workers, threads or max(1, torch.get_num_threads() // workers), dry_run)


def run_experiment(
    preset: str, experiment: Experiment, choice: Choice, settings: Settings, budget: Mapping[str, Any]
) -> None:
    """Search (where the preset does), train what is not finished, and write table, figures and report.

    Args:
        preset: name of the preset.
        experiment: its content.
        choice: the part that is wanted.
        settings: where and how.
        budget: ``trials``, ``epochs`` and ``limit`` of each search; None keeps those of the search space.
    """
    found: dict[str, Path] | None = None
    searched: dict[str, str] = {}
    if experiment.search:
        searches = plan_searches(experiment, choice, settings, budget)
        if settings.dry_run:
            missing = [search for search in searches if not search.best.exists()]
            print("\n".join(search.describe() for search in searches))
            if missing:
                print("then the runs of each model with the settings found")
                return
        else:
            run_searches(searches)
        # also those of earlier commands, whose runs the report keeps
        others = plan_searches(experiment, replace(choice, data=None, models=None), settings, budget)
        found = found_configs([*others, *searches])
        searched = {f"search {name}": str(value) for name, value in budget.items() if value is not None}
    plan = build_plan(preset, experiment, choice, found)
    plan = replace(plan, changed={**plan.changed, **searched})
    for config in {run.config.model: run.config for run in plan.runs}.values():
        check_names(config)
    if settings.dry_run:
        print(describe_plan(plan, settings.output))
        return
    execute(plan, settings.output, settings.workers, settings.threads)
    report(with_finished(plan, choice, settings.output, partial(_is_finished, settings.output), found), settings.output)


def _is_finished(output: Path, run: Run) -> bool:
    return stored_metrics(run, output) is not None


def report(plan: Plan, output: Path) -> None:
    """Print the tables of the finished runs of ``plan`` and write all files to ``output``."""
    results = collect(plan, output)
    head = f"# {plan.experiment.title}\n\n{plan.about}\n\nMean ± standard deviation over {_seeds(plan)}."
    print(f"\n{main_table(results).text()}")
    if (table := published_table(results)) is not None:
        print(f"\nBeside the published validation accuracies:\n\n{table.text()}")
    if plan.differs:
        print(f"\n{plan.differs}")
    files = [*write_tables(results, output, head), *write_figures(results, output)]
    page = write_page(results, output)
    names = ", ".join(file.name for file in files)
    print(f"\nwritten to {output}: {page.name} (opens in a browser), {names}")


def _seeds(plan: Plan) -> str:
    seeds = plan.seeds
    return f"the seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"one run (seed {seeds[0]})"


def describe_plan(plan: Plan, output: Path) -> str:
    """All runs, their sizes and states, and how long the rest will take as far as finished runs tell."""
    stored = [stored_metrics(run, output) for run in plan.runs]
    costs: dict[tuple[str, str], list[float]] = {}
    for run, metrics in zip(plan.runs, stored, strict=True):
        if metrics is not None:
            costs.setdefault((run.config.data, run.key), []).append(metrics["provenance"]["cost"]["wall_seconds"])
    rows, left, unknown = [], 0.0, 0
    for number, (run, metrics) in enumerate(zip(plan.runs, stored, strict=True), start=1):
        like = costs.get((run.config.data, run.key))
        state = "finished" if metrics else "begun" if (output / run.name / LAST).exists() else "to do"
        seconds = sum(like) / len(like) if like else None
        if not metrics:
            left, unknown = left + (seconds or 0), unknown + (seconds is None)
        rows.append([
            str(number), run.key, run.name, str(run.config.epochs), f"{count_parameters(run.config):,}",
            clock(seconds) if seconds else "?", state,
        ])  # fmt: skip
    todo = sum(metrics is None for metrics in stored)
    # Words first: Table sets the first columns flush left.
    table = Table(["run", "model", "folder", "epochs", "parameters", "time", "state"], rows, 3)
    return f"{table.text()}\n\n{len(rows)} runs, {todo} to do; {_time_left(todo, unknown, left)}; folder {output}"


def _time_left(todo: int, unknown: int, seconds: float) -> str:
    if not todo:
        return "all are finished"
    if unknown == todo:
        return "no run like them is finished, so how long they take is not known"
    rest = f" for {todo - unknown} of them, the others are not like any finished run" if unknown else ""
    return f"about {clock(seconds)} left{rest}"
