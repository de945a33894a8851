"""Descriptions of runs and experiments, in Markdown: the first line is the verdict.

MLflow folds a description after a few lines, so what matters comes first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunelab.service.links import CURVES, FAILURES, LEADERBOARD, run_url, runs_url
from tunelab.service.mirror.markdown import link, plain, table
from tunelab.service.mirror.messages import param
from tunelab.service.mirror.searched import searched
from tunelab.spec.study import StudySpec
from tunelab.storage.confirmed import Confirmation
from tunelab.storage.states import EndReason, StudyState, TrialState
from tunelab.storage.studies import StudyRow
from tunelab.storage.trials import SEARCH, EpochRow, TrialRow

LONGEST_NOTE = 8000  # MLflow's limit of a run's tag
N_BEST = 5
_MOST_SETTINGS = 6  # of a configuration in a cell
_LONGEST_REASON = 3000


@dataclass(frozen=True)
class StudyNote:
    """What a study's description is made of.

    Attributes:
        study: The study.
        spec: Its resolved file.
        counts: Trials of the search by state and by end reason.
        best: The best complete trials, the best first.
        confirmation: What the confirm stage came to; None while it has not.
        experiment_id: Key of the experiment, for links.
        runs: Number of a trial -> key of its run, as far as they are there.
        further: Sentences to be shown below the verdict, such as what became of the champion.
    """

    study: StudyRow
    spec: StudySpec
    counts: Mapping[str, int]
    best: Sequence[TrialRow]
    confirmation: Confirmation | None
    experiment_id: str
    runs: Mapping[int, str]
    further: Sequence[str] = field(default=())

    def text(self) -> str:
        """The description, at most `LONGEST_NOTE` characters of it."""
        found = self.confirmation
        sentences = [] if found is None else [found.tie_sentence, found.optimism_sentence]
        sentences += self.further
        lines = [
            self._verdict(),
            "",
            self._links(),
            "",
            *self._table(),
            *(f"- {plain(sentence)}" for sentence in sentences),
            *([""] if sentences else []),
            self._counts(),
            "",
            self._state(),
        ]
        return "\n".join(lines)[:LONGEST_NOTE]

    def _verdict(self) -> str:
        runs_on = self.study.state is StudyState.RUNNING
        metric, found = self.spec.objective.metric, self.confirmation
        pick = None if found is None else found.of(found.pick)
        if found is not None and pick is not None and pick.mean is not None:
            seeds = "seed" if found.n_seeds == 1 else "seeds"
            return (
                f"**{plain(found.winner_sentence)}**: {self._named(pick.number)} has {metric} "
                f"{_interval(pick.mean, pick.half_width)} over {found.n_seeds} fresh {seeds}"
            )
        if not self.best:
            return "**no complete trial yet**" if runs_on else "**no trial completed**"
        best = self.best[0]
        so_far = "Best so far" if runs_on else "Best"
        text = (
            f"**{so_far}: {metric} {_number(best.value)}** in {self._named(best.number)}, "
            f"epoch {best.best_epoch} of {self.spec.search.max_epochs}"
        )
        return text if found is None else f"{text}. {plain(found.winner_sentence)}"

    def _links(self) -> str:
        links = [*_view_links(self.experiment_id)]
        if self.best and self.best[0].number in self.runs:
            links.append(link("Best trial", self._url(self.best[0].number)))
        return " · ".join(links)

    def _table(self) -> list[str]:
        if not self.best:
            return []
        names = [axis.name for axis in searched(self.spec)][:_MOST_SETTINGS]
        rows = [
            [
                self._named(trial.number),
                _number(trial.value),
                _number(trial.gap),
                str(trial.best_epoch),
                trial.signal or "-",
                " ".join(_setting(name, trial) for name in names if name in trial.hyperparameters)
                or "-",
            ]
            for trial in self.best
        ]
        metric = self.spec.objective.metric
        head = ["trial", metric, "gap", "best epoch", "verdict", "configuration"]
        return [*table(head, rows), ""]

    def _counts(self) -> str:
        ends = ", ".join(f"{self.counts[end]} {end}" for end in EndReason if self.counts[end])
        n_ended = self.counts[TrialState.FINISHED]
        return f"{n_ended} of {self.study.n_trials} trials have ended" + (
            f": {ends}" if ends else ""
        )

    def _state(self) -> str:
        state, reason = self.study.state, self.study.end_reason
        if state is StudyState.RUNNING:
            return "The study is running."
        ended = "been stopped" if state is StudyState.STOPPED else str(state)
        return f"The study has {ended}" + (f" ({plain(reason)})" if reason else "") + "."

    def _named(self, number: int) -> str:
        name = trial_name(number)
        return link(name, self._url(number)) if number in self.runs else name

    def _url(self, number: int) -> str:
        return run_url("", self.experiment_id, self.runs[number])


def trial_note(trial: TrialRow, curve: Sequence[EpochRow], score: str) -> str:
    """A finished trial's description: verdict and reason, then the losses at its best epoch."""
    verdict = f"**{trial.signal or trial.end_reason}** ({trial.end_reason})"
    reason = plain(trial.reason or "no reason was given", _LONGEST_REASON)
    lines = [f"{verdict}: {reason}"]
    if trial.kind != SEARCH:
        what = f"{trial_name(trial.confirms or 0)} with fresh seed {trial.repeat}"
        lines += ["", f"Trains the configuration of {what}: no trial of the search."]
    best = next((row for row in curve if row.epoch == trial.best_epoch), None)
    if best is not None:
        shown = [("loss", best.train_loss, best.validation_loss)]
        shown += [(score, best.train_score, best.validation_score)]
        rows = [[name, _number(train), _number(valid)] for name, train, valid in shown]
        lines += ["", *table([f"epoch {best.epoch}", "train", "validation"], rows)]
    return "\n".join(lines)


def experiment_note(spec: StudySpec, experiment_id: str | None) -> str:
    """An experiment's description; with links to the saved views if its key is given."""
    goal = "highest" if spec.objective.direction == "maximize" else "lowest"
    metric = f"{goal} {spec.objective.metric}"
    first = f"{plain(spec.name)}: {metric}"  # lists of experiments show it as it stands
    if experiment_id is not None:
        first += f" · {' · '.join(_view_links(experiment_id))}"
    return f"{first}\n\n{plain(spec.description)}" if spec.description else first


def run_name(trial: TrialRow) -> str:
    """Name of a trial's run: ``trial-008``, or ``confirm-008-seed-2`` of one that trains it again.

    Seeds count from 0.
    """
    if trial.kind == SEARCH:
        return trial_name(trial.number)
    return f"confirm-{trial.confirms:03d}-seed-{trial.repeat}"


def trial_name(number: int) -> str:
    """Name of the run of a trial of the search.

    >>> trial_name(8)
    'trial-008'
    """
    return f"trial-{number:03d}"


def _view_links(experiment_id: str) -> list[str]:
    views = (LEADERBOARD, CURVES, FAILURES)
    return [link(view.capitalize(), runs_url("", experiment_id, view)) for view in views]


def _setting(name: str, trial: TrialRow) -> str:
    value = plain(param(trial.hyperparameters[name]))
    return value if isinstance(trial.hyperparameters[name], str) else f"{plain(name)} {value}"


def _interval(mean: float, half_width: float | None) -> str:
    """Mean and half width, both to the place of the latter's second digit.

    >>> _interval(0.083412, 0.00213), _interval(53.712, 12.3), _interval(0.9, None)
    ('0.0834 ± 0.0021', '54 ± 12', '0.9')
    """
    if half_width is None:
        return _number(mean)
    if not 0 < half_width < 1e6:
        return f"{_number(mean)} ± {_number(half_width)}"
    places = max(0, 1 - math.floor(math.log10(half_width)))
    return f"{mean:.{places}f} ± {half_width:.{places}f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
