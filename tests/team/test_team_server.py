"""docs/team_server.md, command by command: PostgreSQL, S3, MLflow, two clones."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from mlflow import MlflowClient
from page import ROOT, Reader, commands
from registrable import build_retriever, write_results
from required import missing
from servers import Server, free_port

pytestmark = pytest.mark.timeout(420)


class Shell:
    """Runs the page's commands in bash, with the variables that earlier ones exported."""

    def __init__(self, environment: dict[str, str], replaced: dict[str, str]) -> None:
        self.environment = environment
        self._replaced = replaced

    def here(self, command: str) -> str:
        """The command with the test's own ports and folders."""
        for old, new in self._replaced.items():
            command = command.replace(old, new)
        return command

    def run(self, command: str, folder: Path) -> str:
        command = self.here(command)
        if command.startswith("export "):
            self.environment |= dict(word.split("=", 1) for word in shlex.split(command)[1:])
            return ""
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def server(self, command: str, log: Path, port: int, health: str | None = None) -> Server:
        return Server(
            ["bash", "-c", f"exec {self.here(command)}"], log=log, port=port, health=health, seconds=200,
            environment=self.environment,
        )  # fmt: skip


def free_ports(count: int) -> int:
    """The first of so many that follow each other."""
    import socket

    while True:
        first = free_port()
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first


@pytest.fixture
def shell(postgres, tmp_path: Path) -> Shell:
    """As on the server, where `sudo -u postgres` is the database's superuser: the test's own here."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sudo").write_text(
        '#!/bin/sh\n[ "$1" = -u ] && [ "$2" = postgres ] || exit 9\nshift 2\n'
        f'PGHOST={postgres.sockets} PGUSER=postgres exec "$@"\n'
    )
    (tools / "sudo").chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "MLFLOW_", "PG"))}
    environment = {
        **kept,
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PGPORT": str(postgres.port),
        "HOME": str(tmp_path),
        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@localhost",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@localhost",
        "MLFLOW_DISABLE_TELEMETRY": "true", "DVC_NO_ANALYTICS": "true", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    ports = {":8080": f":{free_ports(5)}", ":5000": f":{free_port()}"}
    ports |= {f"--port {old[1:]}": f"--port {new[1:]}" for old, new in ports.items()}
    swift = {
        "deploy/swift_node.py": str(ROOT / "deploy" / "swift_node.py"),
        "/srv/swift": str(tmp_path / "swift"),
    }
    return Shell(environment, ports | swift)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project as the pipeline leaves it: settings, data and a retriever under DVC, results."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("backbone", "groups"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "part.txt").write_text(name * 1000)
    (folder / "models").mkdir()
    build_retriever(tmp_path / "built")
    shutil.copytree(tmp_path / "built" / "retriever", folder / "models" / "retriever")
    write_results(folder, 0.5)
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


@pytest.fixture
def running() -> Iterator[list[Server]]:
    servers: list[Server] = []
    yield servers
    for server in reversed(servers):
        server.stop()


def test_what_the_page_installs_is_what_ci_installs():
    installed = (ROOT / ".ci" / "team_packages").read_text().split("packages=(")[1].split(")")[0].split()
    listed = [words for words in map(str.split, commands()) if words[:3] == ["sudo", "apt-get", "install"]]
    assert sorted(installed) == sorted(word for words in listed for word in words[3:] if word[0] != "-")


def test_data_runs_and_models_go_to_the_server_and_come_back_in_another_clone(
    shell: Shell, clone: Path, tmp_path: Path, running: list[Server]
) -> None:
    if shutil.which("swift-proxy-server") is None:
        missing("Swift")
    page = Reader()

    page.next("sudo apt-get install")
    shell.run(page.next("sudo -u postgres psql"), tmp_path)
    shell.run(page.next("sudo -u postgres createdb"), tmp_path)

    page.next("sudo apt-get install")
    shell.run(page.next("export AWS_ACCESS_KEY_ID"), tmp_path)
    swift, serve = page.next("/usr/bin/python3 deploy/swift_node.py"), None
    port = int(shell.here(swift).split("--port ")[1])
    outside = Shell({k: v for k, v in shell.environment.items() if k != "PYTHONPATH"}, shell._replaced)
    running.append(outside.server(swift, tmp_path / "swift.log", port))
    running[-1].start()
    shell.run(page.next("export AWS_ENDPOINT_URL"), tmp_path)
    shell.run(page.next("export AWS_REQUEST_CHECKSUM"), tmp_path)
    shell.run(page.next("python -c"), tmp_path)

    shell.run(page.next("export PGPASSWORD"), tmp_path)
    serve = page.next("mlflow server")
    port = int(shell.here(serve).split("--port ")[1].split()[0])
    running.append(shell.server(serve, tmp_path / "mlflow.log", port, "/health"))
    running[-1].start()
    secrets = {name: shell.environment.pop(name) for name in ("PGPASSWORD", "PGPORT")}

    for command in ("git init -q", "dvc init -q", "dvc add -q data/groups data/backbone models/retriever"):
        shell.run(command, clone)
    for start in ("dvc remote add", "dvc remote modify", "git add"):
        shell.run(page.next(start), clone)
    shell.run("git add -A . && git reset -q results/evaluate/per_query.parquet", clone)
    shell.run(page.next("git commit"), clone)
    tracking = page.next("export MLFLOW_TRACKING_URI")
    shell.run(tracking, clone)
    shell.run(page.next("dvc push"), clone)
    s3 = {key: value for key, value in shell.environment.items() if key.startswith("AWS_")}
    for name in s3:  # MLflow's clients need no keys: the server hands files on
        shell.environment.pop(name)
    assert "first with ndcg_at_10" in " ".join(shell.run(page.next("revela register"), clone).split())

    shell.run(f"git clone -q {clone} other", tmp_path)
    other = tmp_path / "other"
    assert not (other / "models" / "retriever").exists()
    shell.environment |= s3
    shell.run(page.next("dvc pull"), other)
    assert (other / "data" / "groups" / "part.txt").read_text() == "groups" * 1000
    for name in s3:
        shell.environment.pop(name)
    assert shell.run(page.next("python -c"), other).strip().endswith("(1, 32)")
    assert "0 points of 0 runs" in shell.run(page.next("revela send-unsent"), other)
    shell.environment |= secrets
    shell.run(page.next("pg_dump"), tmp_path)
    assert (tmp_path / "mlflow.dump").stat().st_size > 10_000
    assert page.rest() == []

    client = MlflowClient(shell.environment["MLFLOW_TRACKING_URI"])
    version = client.get_model_version_by_alias("revela-retriever", "champion")
    assert [model.name for model in client.search_registered_models()] == ["revela-retriever"]
    assert client.get_run(version.run_id).info.artifact_uri.startswith("mlflow-artifacts:")
    session = boto3.Session(s3["AWS_ACCESS_KEY_ID"], s3["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    store = session.client("s3", endpoint_url=s3["AWS_ENDPOINT_URL"])
    kept = {bucket: store.list_objects_v2(Bucket=bucket)["Contents"] for bucket in ("mlflow", "dvc")}
    assert any(one["Key"].endswith("model.safetensors") for one in kept["mlflow"])
    assert len(kept["dvc"]) > 5
    assert not list(clone.glob("mlflow.db")) and not list(clone.glob("mlruns"))
