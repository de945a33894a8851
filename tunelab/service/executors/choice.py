"""The executors by their names, as ``--executor`` takes them."""

from __future__ import annotations

from collections.abc import Callable

from tunelab.errors import UsageError
from tunelab.service.executors.base import Executor
from tunelab.service.executors.external import ExternalExecutor
from tunelab.service.executors.local import LocalExecutor

ALONE: dict[str, Callable[[], Executor]] = {"local": LocalExecutor, "external": ExternalExecutor}
"""Those that need no address."""


def make_executor(name: str, dask_address: str | None = None) -> Executor:
    """The executor of that name, connected if it is a cluster.

    Args:
        name: local, external or dask.
        dask_address: Address of a Dask scheduler, or its scheduler file.

    Raises:
        UsageError: If the two do not fit together, or the address means nothing.
        ExecutorError: If nobody answers there.
    """
    if name == "dask":
        if not dask_address:
            raise UsageError(
                "--executor dask needs --dask-address",
                hint="the address of a scheduler, tcp://host:8786, or its scheduler file",
            )
        from tunelab.service.executors.dask import DaskExecutor

        return DaskExecutor(dask_address)
    if dask_address:
        raise UsageError(f"--dask-address goes with --executor dask, not with {name}")
    return ALONE[name]()
