"""A backend for real worker processes whose trials misbehave, chosen by their number of units.

Python loads a module of this name at its start from PYTHONPATH: with this folder there, and in
workers alone, the backend takes the engine's place.
"""

from __future__ import annotations

import sys

FINE, ABORTS, LEAVES, EXITS, SLEEPS, HOLDS_THE_LOCK, EATS_MEMORY, TAKES_LONG = range(16, 24)
N_EPOCHS_BEFORE = 2


def misbehave(units, run):
    """What a trial does in the middle of its third epoch."""
    import ctypes
    import os
    import time

    import numpy as np

    if units == ABORTS:
        os.abort()
    if units == LEAVES:
        os._exit(0)
    if units == EXITS:
        sys.exit("enough")
    if units == SLEEPS:
        time.sleep(1000)
    if units == HOLDS_THE_LOCK:
        ctypes.PyDLL(None).sleep(1000)  # PyDLL keeps the interpreter's lock
    if units == EATS_MEMORY:
        eaten = [np.ones(2**20) for _ in range(500)]  # 8 MB each, 4 GB in all
        raise AssertionError(f"nothing stopped it: {len(eaten)}")
    if units == TAKES_LONG:
        while not run.should_stop():
            time.sleep(0.01)
        run.interrupted = True
        return False
    return True


def replace_backend():
    import time

    from tunelab.execution import backends

    class Run:
        def __init__(self, run, units, should_stop):
            self.inner, self.units, self.should_stop = run, units, should_stop
            self.interrupted = False

        def __iter__(self):
            for record in self.inner:
                # Old enough for the recorder to write them.
                time.sleep(0.6 if self.units in (SLEEPS, HOLDS_THE_LOCK) else 0.0)
                if record.epoch > N_EPOCHS_BEFORE and not misbehave(self.units, self):
                    return
                yield record
            self.interrupted = self.inner.interrupted

        def __getattr__(self, name):
            return getattr(self.inner, name)

    class Misbehaving(backends.NumpyBackend):
        def start(self, hyperparameters, data, *, should_stop, **others):
            run = super().start(hyperparameters, data, should_stop=should_stop, **others)
            return Run(run, hyperparameters.units, should_stop)

    backends.BACKENDS["numpy"] = Misbehaving


if "tunelab.execution.worker" in sys.orig_argv:
    replace_backend()
