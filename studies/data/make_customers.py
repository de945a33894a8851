"""Write ``customers.csv``: invented customers of a telephone company, some of whom leave.

What makes them leave is known, because it is made up: dear plans in the first year, support tickets
without a long history, and, for the young, a better offer elsewhere. A tenth of the decisions is
chance. The table has what real ones have: numbers, words, codes that only look like numbers, and
cells that nobody filled in.

Run it with ``python studies/data/make_customers.py``; it writes the same bytes each time.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

N_CUSTOMERS = 2400
PLANS = {"basic": 12.0, "family": 25.0, "plus": 32.0, "unlimited": 48.0}
PAYMENTS = ("card", "direct debit", "invoice", "transfer")
HEADER = (
    "customer", "area_code", "plan", "payment", "age", "months", "monthly_fee", "minutes",
    "data_gb", "support_tickets", "paperless", "left",
)  # fmt: skip
AREAS = ("0301", "0402", "0893", "2213", "6914", "7115")


def main() -> None:
    """Write the file beside this script."""
    generator = np.random.default_rng(2026)
    with Path(__file__).with_name("customers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for number in range(N_CUSTOMERS):
            writer.writerow(row(number, generator))


def row(number: int, generator: np.random.Generator) -> list[object]:
    """One customer; ``""`` stands where nobody knows."""
    plan = str(generator.choice(list(PLANS), p=[0.35, 0.25, 0.25, 0.15]))
    age = int(np.clip(generator.normal(44, 16), 18, 90))
    months = int(generator.gamma(1.6, 16)) + 1
    fee = PLANS[plan] * generator.normal(1.0, 0.08)
    minutes = generator.gamma(3.0, 60) * (1.4 if plan == "family" else 1.0)
    data_gb = generator.gamma(1.5, 4.0 if age < 35 else 1.8) * (2.0 if plan == "unlimited" else 1.0)
    tickets = int(generator.poisson(0.5 + 1.2 * (generator.random() < 0.2)))
    paperless = generator.random() < (0.8 if age < 50 else 0.4)
    payment = str(generator.choice(PAYMENTS, p=[0.35, 0.3, 0.2, 0.15]))
    area = str(generator.choice(AREAS))

    dear_and_new = fee > 28 and months < 12
    annoyed = tickets >= 2 and months < 30
    lured = age < 32 and data_gb > 6 and plan != "unlimited"
    loyal = months > 60 or (plan == "family" and payment == "direct debit")
    logit = -2.6 + 3.2 * dear_and_new + 2.8 * annoyed + 3.0 * lured - 2.0 * loyal
    logit += 0.8 * (payment == "invoice") + 0.6 * (area == "0402") - 0.4 * paperless
    left = generator.random() < 1.0 / (1.0 + np.exp(-logit))

    known = generator.random(4) > (0.06, 0.03, 0.04, 0.02)  # age, payment, data, minutes
    return [
        f"C{number:05d}",
        area,
        plan,
        payment if known[1] else "",
        age if known[0] else "",
        months,
        f"{fee:.2f}",
        f"{minutes:.0f}" if known[3] else "",
        f"{data_gb:.1f}" if known[2] else "",
        tickets,
        "yes" if paperless else "no",
        "yes" if left else "no",
    ]


if __name__ == "__main__":
    main()
