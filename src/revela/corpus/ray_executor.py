"""The same work on Ray Data, for more processes than one machine has (`corpus.executor: ray`).

Blocks are read by the driver, which alone needs to see the sources and the cache; Ray's workers get
the records and give back finished parts.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from revela.errors import RevelaError
from revela.processes import cores

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items of one Ray Data job, for every process: enough to hide a job's start behind its work.
_ITEMS_PER_WORKER = 16


def run_ray(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int | None, key: str
) -> Iterator[Result]:
    """``work(item)`` for every item, in the order of the items, a window of them at a time.

    Joins the cluster that RAY_ADDRESS names (`ray job submit` and `ray start` set it); without one, starts
    Ray on this machine and stops it at the end. Memory of the driver is bounded by the window.

    Args:
        work: picklable; put into Ray's object store once.
        items: drawn by the driver as they are needed.
        workers: processes; None for all that the cluster, or this machine, has.
        key: settings key of `workers`, for the message.

    Raises:
        RevelaError: Ray is not installed, or its cluster cannot be reached.
    """
    ray = _import_ray()
    started = not ray.is_initialized()
    if started:
        _start(ray, workers, key)
    try:
        shared = ray.put(pickle.dumps(work))
        parallel = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        items = iter(items)
        while window := list(islice(items, _ITEMS_PER_WORKER * parallel)):
            yield from _run_window(ray, shared, window, parallel)
    finally:
        if started:
            ray.shutdown()


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    try:
        import ray
        import ray.data
    except ImportError:
        raise RevelaError(
            "corpus.executor is `ray`, but Ray is not installed. Run `pip install -e '.[ray]'`, or set "
            "`executor: local`."
        ) from None
    # The driver has a progress report of its own, and Ray would tell of every window.
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _start(ray: Any, workers: int | None, key: str) -> None:
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
        else:
            ray.init(
                address="local",
                num_cpus=workers or cores(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level="warning",
            )
    except (ConnectionError, RuntimeError, ValueError) as fault:
        raise RevelaError(
            f"Ray did not start ({fault}). Check RAY_ADDRESS ({address or 'not set'}), and {key}."
        ) from fault


def _run_window(ray: Any, shared: Any, window: list[Item], parallel: int) -> Iterator[Result]:
    rows = [{"place": place, "item": pickle.dumps(item)} for place, item in enumerate(window)]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Mapped(shared), compute=ray.data.TaskPoolStrategy(size=parallel)
    )
    # Rows come as they are finished; results are handed on in the order of the items.
    waiting: dict[int, bytes] = {}
    place = 0
    for row in dataset.iter_rows():
        waiting[row["place"]] = row["result"]
        while place in waiting:
            yield pickle.loads(waiting.pop(place))
            place += 1
    assert place == len(window), f"Ray gave {place} results for {len(window)} items"


class _Mapped:
    """Called by Ray's workers; unpickles the work once a process, not once an item."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        result = _work_of(self._shared)(pickle.loads(row["item"]))
        return {"place": row["place"], "result": pickle.dumps(result)}


_loaded: dict[str, Callable] = {}


def _work_of(shared: Any) -> Callable:
    import ray

    key = shared.hex()
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = pickle.loads(ray.get(shared))
    return _loaded[key]
