"""Training and evaluation runs in MLflow: where they are kept, and a logger that training can lean on.

Metric points are collected and written a thousand at a time, because a call a point costs 25 ms. A
tracking server that goes away while a model trains costs points on a chart at worst, never the
training. mlflow is imported inside functions: it takes seconds, and most verbs never need it.
"""

from revela.tracking.buffer import MAX_METRICS_A_CALL, MetricBuffer, Point
from revela.tracking.run_logger import RunLogger
from revela.tracking.runs import experiment_id, start_run
from revela.tracking.store import (
    artifact_root,
    connect,
    prepare_store,
    project_root,
    sqlite_path,
    store_lock,
    tracking_uri,
)

__all__ = [
    "MAX_METRICS_A_CALL",
    "MetricBuffer",
    "Point",
    "RunLogger",
    "artifact_root",
    "connect",
    "experiment_id",
    "prepare_store",
    "project_root",
    "sqlite_path",
    "start_run",
    "store_lock",
    "tracking_uri",
]
