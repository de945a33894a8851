"""Print how many tasks a Dask cluster knows, those included that only a Dask worker still runs."""

from __future__ import annotations

import sys

from distributed import Client, Scheduler, Worker


def known(dask_scheduler: Scheduler) -> int:
    return len(dask_scheduler.tasks)


def under_way(dask_worker: Worker) -> int:
    return len(dask_worker.state.tasks) + len(dask_worker.active_threads)


if __name__ == "__main__":
    with Client(sys.argv[1], set_as_default=False) as client:
        print(client.run_on_scheduler(known) + sum(client.run(under_way).values()))
