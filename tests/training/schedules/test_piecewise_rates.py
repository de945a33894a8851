"""The text of piecewise rates: what it may be, and its one canonical form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunelab.training.schedules import canonical_rates, make_schedule, parse_rates


@pytest.mark.parametrize(
    ("text", "rates", "canonical"),
    [
        ("10:0.01, 20:0.001", {10: 0.01, 20: 0.001}, "10: 0.01, 20: 0.001"),
        ("1:1", {1: 1.0}, "1: 1.0"),
        (" 5 : 1e-3 ,\n6:+.5", {5: 0.001, 6: 0.5}, "5: 0.001, 6: 0.5"),
        ("007:1E-7", {7: 1e-7}, "7: 1e-07"),
    ],
)
def test_text_is_read_and_written_in_one_form(text, rates, canonical):
    assert parse_rates(text) == rates
    assert canonical_rates(text) == canonical
    assert canonical_rates(canonical) == canonical
    assert canonical_rates(dict(reversed(rates.items()))) == canonical


@given(st.dictionaries(st.integers(1, 10**6), st.floats(1e-300, 1e300), min_size=1))
def test_the_canonical_text_keeps_every_rate_exactly(rates):
    text = ",".join(f"{k}:{rates[k]!r}" for k in sorted(rates))
    assert parse_rates(canonical_rates(text)) == rates


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ("", "like '10:0.01, 20:0.001', got ''"),
        ("10", "like '10:0.01, 20:0.001', got '10'"),
        ("10:", "got '10:'"),
        ("10=0.1", "got '10=0.1'"),
        ("10:0.1,", "got '10:0.1,'"),
        ("10:0.1;20:0.2", "got '10:0.1;20:0.2'"),
        ("10:0.1 20:0.2", "got '10:0.1 20:0.2'"),
        ("1.5:0.1", "got '1.5:0.1'"),
        ("-1:0.1", "got '-1:0.1'"),
        ("10:0.1.2", "got '10:0.1.2'"),
        ("10:nan", "got '10:nan'"),
        ("10:inf", "got '10:inf'"),
        ("١٠:0.1", "got '١٠:0.1'"),
        ("9999999999:0.1", "got '9999999999:0.1'"),
        ("x" * 500, "got 'xxxxx"),
        ("20:0.1, 10:0.2", "each k greater than the one before, got 20 and then 10"),
        ("10:0.1, 10:0.2", "each k greater than the one before, got 10 and then 10"),
        ("0:0.1", "whole numbers of epochs k, at least 1, got 0"),
        ("10:0", "rates > 0 and finite, got 0.0 at k = 10"),
        ("10:-0.1", "rates > 0 and finite, got -0.1 at k = 10"),
        ("10:1e999", "rates > 0 and finite, got inf at k = 10"),
        ({}, "a mapping from epochs to rates, got {}"),
        (0.1, "a mapping from epochs to rates, got 0.1"),
        (None, "a mapping from epochs to rates, got None"),
        ({0: 0.1}, "whole numbers of epochs k, at least 1, got 0"),
        ({1.5: 0.1}, "whole numbers of epochs k, at least 1, got 1.5"),
        ({"10": 0.1}, "whole numbers of epochs k, at least 1, got '10'"),
        ({10: "0.1"}, "rates > 0 and finite, got '0.1' at k = 10"),
        ({10: 0}, "rates > 0 and finite, got 0 at k = 10"),
    ],
    ids=str,
)
def test_anything_else_is_refused(rates, message):
    with pytest.raises(ValueError, match=r"^piecewise: rates must ") as refused:
        make_schedule("piecewise", 0.1, 30, {"rates": rates}, steps_per_epoch=5)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 200
    # For readers of study files, which put a key of their own in front.
    for read in (parse_rates, canonical_rates):
        with pytest.raises(ValueError, match=r"^must ") as refused_alone:
            read(rates)
        assert str(refused.value) == f"piecewise: rates {refused_alone.value}"
