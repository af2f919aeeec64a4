"""README.md of a model folder: the model card. Every string of the user's is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from ..tasks.task import Metric
from ..training.records import Fitted
from .config import Config
from .documents import Results
from .escape import markdown, yaml


def card(name: str, config: Config, fitted: Fitted, results: Results | None) -> str:
    """The card of the model `name`: what it is, its numbers, its data, how to use and repeat it."""
    lines = ["---", "library_name: ostinato", f"tags: [{yaml(config.task)}, recurrent]"]
    if results is not None:
        lines.append(f"metrics: [{', '.join(yaml(m.name) for m in results.model)}]")
    lines += ["---", "", f"# {markdown(name)}", "", f"{markdown(config.because)}", ""]
    if results is not None:
        lines += _table(results)
    lines += [f"{markdown(fitted.advice)}", ""]
    lines += ["## Data", ""]
    for source in config.sources:
        facts = [f"{source.get('rows')} rows"]
        if source.get("sha256"):
            facts.append(f"SHA-256 `{source['sha256']}`")
        lines.append(f"- {markdown(source.get('file', ''))}: {', '.join(facts)}")
    lines += [f"- {markdown(note)}" for note in config.notes]
    if config.options.run.private:
        lines.append(
            "- This folder holds no rows, hashes or predictions. The vocabulary has words of the training rows."
        )
    elif not config.sources and not config.notes:
        lines.append("- Rows that a program gave.")
    updates = f"{fitted.updates} of {fitted.planned_updates} planned updates, ended by {markdown(fitted.stopped)}"
    lines += [
        "",
        "## Network",
        "",
        f"Hidden units {config.options.network.hidden}, layers {config.options.network.layers}, "
        f"{'both directions' if config.options.network.both_directions else 'one direction'}, {updates}. The cell:",
        "",
        *(f"    {line}" for line in config.options.network.cell.splitlines()),
        "",
        "## Use",
        "",
        "    ostinato predict THIS-FOLDER DATA",
        "    ostinato evaluate THIS-FOLDER",
        "    ostinato train --config THIS-FOLDER/config.json",
        "",
        f"The weights have the hash `{config.weights_sha256}`. The same data, versions and kind of machine give the "
        "same hash.",
        "",
        "## Limits",
        "",
        "The metrics hold for rows like the test rows. What the training rows do not have, the model does not know; "
        "nobody has tested it for harm.",
        "",
    ]
    return "\n".join(lines)


def _table(results: Results) -> list[str]:
    first = results.model[0]
    better = "higher" if first.higher_is_better else "lower"
    lines = ["## Results on the test rows", "", f"| model | {markdown(first.name)} | 95 % interval |", "|---|---|---|"]
    rows: list[tuple[str, Sequence[Metric]]] = [("this network", results.model), *results.baselines.items()]
    lines += [f"| {markdown(n)} | {m[0].value:.4g} | {m[0].low:.4g} to {m[0].high:.4g} |" for n, m in rows]
    lines += ["", f"{first.n} independent units; {better} is better.", ""]
    if results.sentence:
        lines += [markdown(results.sentence), ""]
    return lines
