"""What is tried again, and what is not."""

from __future__ import annotations

import pytest
from prefect.states import Failed

from flows._commands import CommandFailedError
from flows.pipeline import RETRY_AFTER_S, register, run_stage


def failed(line: str) -> Failed:
    return Failed(data=CommandFailedError(["dvc", "repro"], 1, ["Running stage", line]))


@pytest.mark.parametrize(
    "line",
    [
        "requests.exceptions.ConnectionError: Connection reset by peer",
        "HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded",
        "503 Server Error: Service Unavailable",
        "sqlite3.OperationalError: database is locked",
        "ERROR: '/srv/revela/models' is busy, it is being blocked by:",
    ],
)
def test_what_passes_by_itself_is_tried_again(line):
    for one in (run_stage, register):
        assert one.retries == len(RETRY_AFTER_S)
        assert one.retry_condition_fn(one, None, failed(line))


@pytest.mark.parametrize(
    "state",
    [
        failed("error: params.yaml: corpus.sources: no such folder"),
        failed("torch.cuda.OutOfMemoryError"),
        Failed(data=TimeoutError("`dvc repro` took longer than 4 s and was ended")),
        Failed(data=ValueError("no stage trian")),
    ],
)
def test_what_stays_as_it_is_is_not(state):
    assert not run_stage.retry_condition_fn(run_stage, None, state)
