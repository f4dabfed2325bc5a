"""The verb `send-unsent`."""

from __future__ import annotations

import typer

from revela.errors import RevelaError


def send_unsent() -> None:
    """Send to MLflow what it did not take while it was away. The next run does so by itself."""
    from revela import tracking

    uri = tracking.tracking_uri()
    done = tracking.send_unsent(tracking.connect(uri), uri, refused=True)
    typer.echo(f"sent to {tracking.without_password(uri)}: {done.points} points of {done.runs} runs")
    for left in done.elsewhere:
        typer.echo(f"left alone: {left}")
    if done.kept:
        raise RevelaError("not sent\n" + "\n".join(done.kept))
