"""The catalogue of optimizers and schedules: complete, and equal to what it is gathered from."""

from __future__ import annotations

import inspect
import json

import pytest

from tunelab.errors import UsageError
from tunelab.service import catalogue
from tunelab.spec import tables
from tunelab.spec.default_space import SEARCHED_OPTIMIZERS, SEARCHED_SCHEDULES
from tunelab.spec.rules import Number, RateTable
from tunelab.spec.space import FloatRange, IntRange
from tunelab.training.optimizers import OPTIMIZERS
from tunelab.training.schedules import SCHEDULES

FAMILIES = [
    (catalogue.optimizers, OPTIMIZERS, tables.OPTIMIZERS),
    (catalogue.schedules, SCHEDULES, tables.SCHEDULES),
]
MEMBERS = [(gather, name) for gather, registry, _ in FAMILIES for name in registry]


def only(gather, name):
    (member,) = gather().only(name).members
    return member


@pytest.mark.parametrize(("gather", "registry", "rules"), FAMILIES)
def test_every_member_is_there_with_every_setting_and_its_range(gather, registry, rules):
    members = gather().members
    assert [member.name for member in members] == list(registry)
    for member in members:
        assert {own.name: own.valid for own in member.settings} == rules[member.name]


def test_the_defaults_of_optimizers_are_those_of_the_signatures():
    for member in catalogue.optimizers().members:
        rate, *settings = member.settings
        assert rate.name == "learning_rate"
        assert not rate.required
        parameters = inspect.signature(OPTIMIZERS[member.name]).parameters
        assert {own.name: own.default for own in settings} == {
            key: parameter.default for key, parameter in parameters.items()
        }


def test_the_defaults_of_schedules_are_those_of_the_signatures():
    for member in catalogue.schedules().members:
        parameters = inspect.signature(SCHEDULES[member.name]).parameters
        for own in member.settings:
            if own.name == "warm_up":
                assert own.default == 0
            elif own.required:
                assert parameters[own.name].default is inspect.Parameter.empty
                assert own.default is None
            else:
                assert own.default == parameters[own.name].default


def test_only_the_rates_of_piecewise_must_be_given():
    required = {
        (member.name, own.name)
        for gather, *_ in FAMILIES
        for member in gather().members
        for own in member.settings
        if own.required
    }
    assert required == {("piecewise", "rates")}


def test_the_learning_rates_defaults_are_those_of_the_default_configuration():
    defaults = {m.name: m.settings[0].default for m in catalogue.optimizers().members}
    assert defaults["sgd"] == 0.1
    assert defaults["adam"] == 0.001
    assert defaults["adadelta"] == 1.0


@pytest.mark.parametrize(("gather", "name"), MEMBERS)
def test_every_member_has_summary_formula_and_source(gather, name):
    member = only(gather, name)
    assert member.summary.endswith(".")
    assert "`" not in member.summary
    assert any(sign in member.formula for sign in ("<-", "rate(k) ="))
    assert not member.formula.startswith((" ", "\n"))
    assert name == "constant" or "Source:" in member.documentation
    assert "PyTorch" in member.documentation
    assert ">>>" in member.documentation


def test_the_formula_is_that_of_the_docstring():
    assert only(catalogue.schedules, "linear").formula == (
        "a = min(k / tau, 1)\nrate(k) = (1 - a) * initial + a * end * initial"
    )
    assert only(catalogue.optimizers, "sgd").formula == "w <- w - learning_rate * g"


@pytest.mark.parametrize("text", ["One line.", "One line.\n\nAnd::more."])
def test_a_text_without_a_formula_is_a_mistake(text):
    with pytest.raises(ValueError, match="no literal block in 'One line"):
        catalogue.first_literal_block(text)


def test_the_ranges_searched_are_those_of_the_study_told():
    document = catalogue.schedules()
    assert (document.max_epochs, document.n_train) == (100, 1000)
    every = {own.name: own for own in only(catalogue.schedules, "step_drop").settings}
    # 5 to 20 % of the epochs
    assert every["every"].searched == IntRange(5, 20)
    assert every["offset"].searched is None
    rate = only(catalogue.optimizers, "adam").settings[0]
    assert rate.searched == FloatRange(1e-4, 3e-2, "log")
    assert rate.syntax == {"low": 1e-4, "high": 3e-2, "scale": "log"}


def test_members_tell_whether_a_study_tries_them_unasked():
    for (gather, *_), expected in zip(
        FAMILIES, (SEARCHED_OPTIMIZERS, SEARCHED_SCHEDULES), strict=True
    ):
        assert tuple(member.name for member in gather().members if member.searched) == expected


def test_the_warm_up_is_told_of_beside_the_schedules():
    (wrapper,) = catalogue.schedules().wrappers
    assert wrapper.name == "warm_up"
    assert wrapper.formula.startswith("rate(k) = initial * (k + 1) / (length + 1)")
    assert catalogue.schedules().only("warm_up").members == ()
    assert catalogue.schedules().only("cosine").wrappers == ()
    assert catalogue.optimizers().wrappers == ()


@pytest.mark.parametrize(("gather", "registry", "rules"), FAMILIES)
def test_the_document_can_be_written_as_json_and_lacks_nothing(gather, registry, rules):
    found = gather()
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["schema"] == 1
    assert (document["max_epochs"], document["n_train"]) == (100, 1000)
    for entry, name in zip(document[found.family], registry, strict=True):
        assert entry["name"] == name
        assert {own["name"] for own in entry["settings"]} == set(rules[name])
        keys = {"name", "required", "default", "valid", "searched"}
        assert all(set(own) == keys for own in entry["settings"])


def test_each_kind_of_rule_has_its_json():
    valid = {
        own["name"]: own["valid"]
        for entry in catalogue.schedules().to_json()["schedules"]
        for own in entry["settings"]
    }
    assert valid["unit"] == {"kind": "name", "known": ["epoch", "step"]}
    assert valid["rates"]["kind"] == "rates"
    assert valid["rates"]["rate"]["low_open"] is True
    assert valid["every"]["kind"] == "int"
    assert valid["rise"] == {
        "kind": "float", "low": 0, "high": 1, "low_open": True, "high_open": True,
    }  # fmt: skip


def test_an_endless_range_has_no_end_in_json(monkeypatch):
    rules = {**tables.SCHEDULES["piecewise"], "rates": RateTable(Number("float", 0))}
    monkeypatch.setitem(catalogue.SCHEDULE_RULES, "piecewise", rules)
    valid = only(catalogue.schedules, "piecewise").to_json()["settings"][0]["valid"]
    assert valid["rate"]["high"] is None


def test_a_setting_without_a_range_is_a_defect(monkeypatch):
    rules = {key: rule for key, rule in tables.SCHEDULES["linear"].items() if key != "tau"}
    monkeypatch.setitem(catalogue.SCHEDULE_RULES, "linear", rules)
    with pytest.raises(LookupError, match=r"linear: the engine has .*'tau'"):
        catalogue.schedules()


def test_a_setting_that_is_neither_searched_nor_kept_is_a_defect(monkeypatch):
    monkeypatch.setattr(catalogue, "ENGINE_DEFAULTS", ())
    with pytest.raises(LookupError, match=r"adagrad: the default space lacks \['epsilon'\]"):
        catalogue.optimizers()


def test_a_member_without_a_text_is_a_defect(monkeypatch):
    def bare(initial: float) -> None: ...

    monkeypatch.setitem(catalogue.SCHEDULES, "constant", bare)
    with pytest.raises(LookupError, match=r"bare.* has no docstring"):
        catalogue.schedules()


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError) as refused:
        catalogue.optimizers().only("adagard")
    assert refused.value.message.startswith("no optimizer 'adagard'; there are: sgd momentum")
    assert refused.value.hint == "did you mean 'adagrad'?"
    with pytest.raises(UsageError) as refused:
        catalogue.schedules().only("warmup")
    assert refused.value.message.endswith("one_cycle warm_up")
    assert refused.value.hint == "did you mean 'warm_up'?"
    with pytest.raises(UsageError) as refused:
        catalogue.schedules().only("x")
    assert refused.value.hint is None
