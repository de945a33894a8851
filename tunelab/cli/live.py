"""The live view of a running study: a bar, a row for each trial, the verdicts so far."""

from __future__ import annotations

from rich.text import Text

from tunelab.cli.board import Board, TrialState
from tunelab.cli.formats import aligned, number, percent, rough_duration, signed
from tunelab.cli.hyperparameters import constant_names, short
from tunelab.cli.outcomes import STYLES, remark, state_word, tally, trial_label
from tunelab.cli.sparkline import WIDTH, sparkline
from tunelab.cli.tables import Column, cut, table

FRAME_LINES = 6  # the bar, the table's head, the footer, and space for what stands above
_BAR_WIDTH = 28
_LEAST_BAR = 10
_SPACE = "  "


def frame(board: Board, width: int, height: int, *, stopping: bool) -> list[Text]:
    """One picture of the study, at most ``height`` lines of at most ``width`` characters."""
    rows = _rows(board, max(height - FRAME_LINES, 1))
    lines = [status_line(board, width)]
    if rows:
        lines += table(_columns(board, rows), width)
    return [*lines, footer(board, width, stopping=stopping)]


def status_line(board: Board, width: int) -> Text:
    """The bar, and beside it how far the study is; what matters less goes on narrow terminals."""
    facts = [(0, f"{board.n_finished}/{board.n_total}")]
    if board.confirms and board.confirm is not None:
        facts = [(0, "confirming: {} of {} runs".format(*board.confirm))]
    elif board.confirm is not None:
        facts.append((1, "confirmed {}/{}".format(*board.confirm)))
    if board.best is not None:
        facts.append((1, f"best {number(board.best.value)} (trial {board.best.number})"))
    if board.trials_per_minute is not None:
        facts.append((3, f"{board.trials_per_minute:.3g} trials/min"))
    if board.n_finished:
        facts.append((4, f"saved {percent(board.epochs_saved)} of epochs"))
    if board.eta_seconds is not None:
        facts.append((2, f"ETA {rough_duration(board.eta_seconds)}"))
    while len(facts) > 1 and width - _length(facts) < _LEAST_BAR:
        facts.remove(max(facts))
    bar = min(_BAR_WIDTH, width - _length(facts))
    line = _bar(board, bar) if bar > 0 else Text()
    for _, fact in facts:
        line.append(_SPACE if line else "")
        line.append(fact, "bold" if fact.startswith("best ") else "")
    return line


def footer(board: Board, width: int, *, stopping: bool) -> Text:
    """The outcomes so far, and what Ctrl-C does."""
    keys = "Ctrl-C stops gracefully"
    if board.watches:
        keys = "leaving" if stopping else "Ctrl-C leaves, the study goes on"
    elif stopping:
        keys = "stopping, nothing is lost; Ctrl-C again leaves at once"
    elif board.n_finished >= board.n_total and not board.confirms:
        keys = "sending the rest to MLflow"
    verdicts = tally(board.outcomes, " · ") or "no trial has finished yet"
    style = "yellow" if stopping else "dim"
    if len(verdicts) + len(keys) + 4 > width:
        alone, style = (keys, style) if stopping else (verdicts, "dim")
        return Text(cut(alone, width), style)
    gap = min(width - len(verdicts) - len(keys), 8)
    return Text.assemble((verdicts, "dim"), " " * gap, (keys, style))


def _rows(board: Board, n: int) -> list[TrialState]:
    under_way = [board.running, board.confirming]
    running = [rows[number] for rows in under_way for number in sorted(rows)]
    return [*running, *board.finished][:n]


def _columns(board: Board, rows: list[TrialState]) -> list[Column]:
    states = ["running" if _runs(row) else state_word(row.trial) for row in rows]
    columns = [
        Column("TRIAL", [trial_label(row.trial) for row in rows], right=True),
        Column("STATE", states, drop=1, styles=[STYLES[state] for state in states]),
        Column("EPOCH", [f"{r.n_epochs}/{board.max_epochs}" for r in rows], right=True, drop=4),
    ]
    same = constant_names(board.summary.spec.search_space) if board.summary else frozenset()
    best = ["bold" if _is_best(board, row) else "" for row in rows]
    if board.metric != "validation_loss":
        scores = [aligned(_score(row)) for row in rows]
        columns.append(Column(board.metric.upper(), scores, right=True, styles=best))
    losses = [aligned(_loss(row)) for row in rows]
    least_wanted = 5 if board.metric != "validation_loss" else 0
    return [
        *columns,
        Column("VAL LOSS", losses, right=True, drop=least_wanted, styles=best),
        Column("GAP", [signed(_gap(row)) for row in rows], right=True, drop=6),
        Column("CURVE", [sparkline(row.losses).ljust(WIDTH) for row in rows], drop=2),
        # As long as "underfitting? 100/200": numbers are not cut off.
        Column("VERDICT", [_verdict(board, row) for row in rows], drop=3, least=21),
        Column("PARAMS", [short(r.trial.hyperparameters, same) for r in rows], drop=7, least=18),
    ]


def _runs(row: TrialState) -> bool:
    return row.trial.end_reason is None


def _is_best(board: Board, row: TrialState) -> bool:
    """Whether it is the search's best trial; a run of the confirm stage never is."""
    return board.best is not None and board.best.id == row.trial.id


def _shown_epoch(row: TrialState) -> int:
    """A running trial shows its newest epoch, one that has ended its best."""
    return row.n_epochs if _runs(row) else row.trial.best_epoch or row.n_epochs


def _score(row: TrialState) -> float | None:
    if not _runs(row):
        return row.trial.value
    return row.last.validation_score if row.last else None


def _loss(row: TrialState) -> float | None:
    epoch = row.epochs.get(_shown_epoch(row))
    return epoch.validation_loss if epoch else None


def _gap(row: TrialState) -> float | None:
    if not _runs(row):
        return row.trial.gap
    last = row.last
    if last is None or last.validation_loss is None or last.train_loss is None:
        return None
    return last.validation_loss - last.train_loss


def _verdict(board: Board, row: TrialState) -> str:
    if not _runs(row):
        star = "  ★ new best" if board.best_is_new else "  ★ best"
        return remark(row.trial) + (star if _is_best(board, row) else "")
    if row.last is None:
        return "starting"
    return row.last.suspicion or row.last.signal.replace("_", " ")


def _bar(board: Board, width: int) -> Text:
    """How much of the search is done, or, once that has ended, of the confirm stage."""
    stage = board.confirm if board.confirms else None
    n_finished, n_total = stage or (board.n_finished, board.n_total)
    halves = 2 * width * n_finished // max(n_total, 1)
    full, half = divmod(min(halves, 2 * width), 2)
    bar = Text("━" * full + "╸" * half, style="green")
    bar.append("─" * (width - full - half), "dim")
    return bar


def _length(facts: list[tuple[int, str]]) -> int:
    return sum(len(_SPACE) + len(fact) for _, fact in facts)
