"""``study compare``: studies side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.text import Text

from tunelab.cli.confirm import interval, score
from tunelab.cli.console import is_terminal, put, put_json, put_lines, terminal_width
from tunelab.cli.formats import NOTHING, clean, duration, number, percent
from tunelab.cli.hyperparameters import plain
from tunelab.cli.paragraphs import labelled
from tunelab.cli.result import difference as relative
from tunelab.cli.tables import Column, tab_separated, table
from tunelab.service.compare import Compared, Comparison, Difference, end_counts
from tunelab.storage.states import EndReason

_MARK = "≠"
_LEAST = 14  # characters of a value that is cut

Row = tuple[str, list[str]]


def show_comparison(comparison: Comparison, *, as_json: bool) -> None:
    """Print studies side by side: a table on a terminal, TAB-separated text in a pipe."""
    if as_json:
        put_json(comparison.to_json())
    elif is_terminal(sys.stdout):
        put_lines(comparison_lines(comparison, terminal_width()))
    else:
        head = ["what", *(study.summary.study.reference for study in comparison.studies)]
        for line in tab_separated(head, _full_rows(comparison)):
            put(line)


def comparison_lines(comparison: Comparison, width: int) -> Iterator[Text]:
    """The text of ``study compare`` for a terminal."""
    yield from _table(comparison, _result_rows(comparison), width, marked=False)
    yield Text()
    first, *others = comparison.studies
    for study, found in zip(others, comparison.differences, strict=True):
        yield _sentence(study, first, found)
    yield Text()
    yield from _table(comparison, _configuration_rows(comparison), width, marked=True)
    settings = _setting_rows(comparison)
    yield Text()
    if settings:
        yield Text("Where the study files differ", style="bold")
        yield from _table(comparison, settings, width, marked=False)
    else:
        yield Text("The study files say the same", style="bold")


def _sentence(study: Compared, first: Compared, found: Difference) -> Text:
    titles = f"{study.summary.study.title} against {first.summary.study.title}"
    if found.reason is not None:
        return labelled("vs", f"{titles}: cannot be compared: {found.reason}")
    mine, its = study.pick, first.pick
    means = ""
    if mine is not None and its is not None and mine.mean is not None and its.mean is not None:
        means = relative(mine.mean, its.mean)
    sure = f"{found.difference:+.3g} ± {found.half_width:.2g}"
    verdict = "better" if found.is_better else "worse"
    worth = "within noise" if found.within_noise else f"{verdict}, beyond chance"
    seeds = "fresh seeds, one by one" if found.by_seed else "fresh seeds"
    return labelled("vs", f"{titles}: {means} over {seeds} ({sure}): {worth}")


def _table(
    comparison: Comparison, rows: Sequence[Row], width: int, *, marked: bool
) -> Iterator[Text]:
    """Rows of values, a column a study; where that is too wide, the values below their name."""
    titles = [study.summary.study.title for study in comparison.studies]
    names = [_named(name, values, marked=marked) for name, values in rows]
    styles = ["bold" if marked and len(set(values)) > 1 else "" for _, values in rows]
    columns = [
        Column("", names, styles=styles),
        *(
            Column(title, [values[place] for _, values in rows], least=_LEAST, styles=styles)
            for place, title in enumerate(titles)
        ),
    ]
    least = [min(column.width, max(_LEAST, len(column.title))) for column in columns[1:]]
    if columns[0].width + sum(2 + space for space in least) <= width:
        yield from table(columns, width)
        return
    for name, (_, values) in zip(names, rows, strict=True):
        yield Text(clean(name), style="bold")
        for title, value in zip(titles, values, strict=True):
            yield Text(f"  {clean(title)}  {clean(value)}")


def _named(name: str, values: Sequence[str], *, marked: bool) -> str:
    if not marked:
        return name
    return f"{_MARK if len(set(values)) > 1 else ' '} {name}"


def _result_rows(comparison: Comparison) -> list[Row]:
    """State, trials, results, and how the trials ended."""
    rows: list[tuple[str, Callable[[Compared], str]]] = [
        ("state", lambda study: study.summary.state),
        ("trials", lambda study: f"{study.summary.n_finished} of {study.summary.study.n_trials}"),
        ("metric", lambda study: study.summary.spec.objective.metric),
        ("search's best", _best),
        ("pick", lambda study: f"trial {study.pick.number}" if study.pick else NOTHING),
        ("confirmed mean", _confirmed),
        *((f"test {name}", _tested(name)) for name in _test_scores(comparison)),
        *((str(reason), _ended(str(reason))) for reason in EndReason),
        *((f"verdict {name}", _judged(name)) for name in _signals(comparison)),
        ("epochs", _epochs),
        ("time", lambda study: duration(study.summary.study.running_seconds)),
    ]
    return [(name, [tell(study) for study in comparison.studies]) for name, tell in rows]


def _best(study: Compared) -> str:
    best, metric = study.summary.best, study.summary.spec.objective.metric
    if best is None or best.value is None:
        return NOTHING
    return f"{score(metric, best.value)} (trial {best.number})"


def _confirmed(study: Compared) -> str:
    metric = study.summary.spec.objective.metric
    return interval(study.pick, metric) if study.pick else NOTHING


def _tested(name: str) -> Callable[[Compared], str]:
    def tell(study: Compared) -> str:
        value = _test_score(study, name)
        return NOTHING if value is None else score(name, value)

    return tell


def _ended(reason: str) -> Callable[[Compared], str]:
    return lambda study: str(end_counts(study)[reason])


def _judged(signal: str) -> Callable[[Compared], str]:
    return lambda study: str(study.summary.signals.get(signal, 0))


def _epochs(study: Compared) -> str:
    summary = study.summary
    return f"{summary.epochs_trained} (saved {percent(summary.epochs_saved)})"


def _test_score(study: Compared, name: str) -> float | None:
    opening = study.summary.test
    value = None if opening is None or opening.scores is None else opening.scores.get(name)
    return None if value is None else float(value)


def _test_scores(comparison: Comparison) -> list[str]:
    opened = (study.summary.test for study in comparison.studies)
    names = (name for opening in opened if opening for name in opening.scores or ())
    return [name for name in dict.fromkeys(names) if name != "rows"]


def _signals(comparison: Comparison) -> list[str]:
    return sorted({name for study in comparison.studies for name in study.summary.signals})


def _configuration_rows(comparison: Comparison) -> list[Row]:
    """The results' hyperparameters."""

    def value(study: Compared, name: str) -> str:
        flat = study.result.hyperparameters if study.result else {}
        return plain(flat[name]) if name in flat else NOTHING

    return [
        (name, [value(study, name) for study in comparison.studies])
        for name in comparison.hyperparameters
    ]


def _setting_rows(comparison: Comparison) -> list[Row]:
    return [
        (key, [_setting(study, key) for study in comparison.studies])
        for key in comparison.changed_settings
    ]


def _setting(study: Compared, key: str) -> str:
    if key not in study.settings:
        return "not given"
    value = study.settings[key]
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _full_rows(comparison: Comparison) -> Iterator[list[object]]:
    """Everything for other programs, numbers in full."""

    def row(name: str, tell: Callable[[Compared], object]) -> list[object]:
        return [name, *(tell(study) for study in comparison.studies)]

    yield row("state", lambda study: study.summary.state)
    yield row("trials", lambda study: study.summary.study.n_trials)
    yield row("finished", lambda study: study.summary.n_finished)
    yield row("metric", lambda study: study.summary.spec.objective.metric)
    yield row("best", lambda study: study.summary.best and study.summary.best.value)
    yield row("best_trial", lambda study: study.summary.best and study.summary.best.number)
    yield row("pick", lambda study: study.pick and study.pick.number)
    yield row("confirmed", lambda study: study.pick and study.pick.mean)
    yield row("half_width", lambda study: study.pick and study.pick.half_width)
    for name in _test_scores(comparison):
        yield [f"test_{name}", *(_test_score(study, name) for study in comparison.studies)]
    for reason in map(str, EndReason):
        yield row(reason, _ended(reason))
    for signal in _signals(comparison):
        yield row(f"verdict_{signal}", _judged(signal))
    yield row("epochs", lambda study: study.summary.epochs_trained)
    yield row("seconds", lambda study: study.summary.study.running_seconds)
    found = comparison.differences
    yield ["difference", None, *(_known(item, item.difference) for item in found)]
    yield ["difference_half_width", None, *(_known(item, item.half_width) for item in found)]
    yield ["within_noise", None, *(_known(item, _yes(item.within_noise)) for item in found)]
    yield ["not_compared", None, *(item.reason for item in found)]
    for name in comparison.hyperparameters:
        yield [f"hyperparameter.{name}", *(_chosen(study, name) for study in comparison.studies)]
    for key in comparison.changed_settings:
        yield [f"study_file.{key}", *(_full_setting(study, key) for study in comparison.studies)]


def _known(found: Difference, value: object) -> object:
    return value if found.reason is None else None


def _yes(value: bool | None) -> str:
    return "yes" if value else "no"


def _chosen(study: Compared, name: str) -> object:
    return study.result.hyperparameters.get(name) if study.result else None


def _full_setting(study: Compared, key: str) -> Any:
    value = study.settings.get(key)
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value)
