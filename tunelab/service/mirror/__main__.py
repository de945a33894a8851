"""Run as ``python -m tunelab.service.mirror --study ID``, or without a study for all that are due.

The database comes from TUNELAB_DATABASE_URL, MLflow's place from MLFLOW_TRACKING_URI, orders by
the standard input: its end means to send what is left and to leave, so no mirror outlives the
process that started it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings

from tunelab.errors import TunelabError
from tunelab.execution.log import say
from tunelab.execution.orders import obey
from tunelab.service.mirror.environment import prepare, tracking_uri
from tunelab.service.mirror.loop import mirror
from tunelab.service.mirror.orders import Orders
from tunelab.storage.location import database_url
from tunelab.storage.outages import OUTAGE_SECONDS, Patience
from tunelab.storage.schema import open_database


def main() -> None:
    """Run one mirror process."""
    parser = argparse.ArgumentParser(prog="python -m tunelab.service.mirror")
    parser.add_argument("--study", type=int, help="key of the study; all that are due without it")
    arguments = parser.parse_args()
    orders = Orders()
    obey(orders.leave)
    prepare(os.environ)
    # What MLflow and Alembic have to tell is said by the mirror, in one line.
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        patience = Patience(OUTAGE_SECONDS, lambda: orders.leaving, say)
        database = open_database(database_url(), create=False, patience=patience)
        if arguments.study is not None:
            mirror(database, arguments.study, tracking_uri(), orders)
        else:
            from tunelab.service.mirror.shared import mirror_all

            mirror_all(database, tracking_uri(), orders, say)
    except TunelabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
