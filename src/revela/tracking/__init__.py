"""Training and evaluation runs in MLflow: where they are kept, and a logger that training can lean on.

Metric points are collected and written a thousand at a time, because a call a point costs 25 ms. A
tracking server that goes away while a model trains costs neither the training nor a point: what it did not
take is kept in a file and sent later. mlflow is imported inside functions: it takes seconds, and most verbs
never need it.
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
    without_password,
)
from revela.tracking.unsent import Sent, send_unsent

__all__ = [
    "MAX_METRICS_A_CALL",
    "MetricBuffer",
    "Point",
    "RunLogger",
    "Sent",
    "artifact_root",
    "connect",
    "experiment_id",
    "prepare_store",
    "project_root",
    "send_unsent",
    "sqlite_path",
    "start_run",
    "store_lock",
    "tracking_uri",
    "without_password",
]
