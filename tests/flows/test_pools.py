"""What docs/schedules.md says of other pools, against the templates that Prefect has for them.

Neither Docker nor a cluster is at hand where tests run: this holds the names, not that it works there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")
KNOWN = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"


def template(kind: str) -> dict[str, Any]:
    workers = json.loads(KNOWN.read_text(encoding="utf-8"))
    (found,) = [types[kind] for types in workers.values() if kind in types]
    return found["default_base_job_configuration"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("kind", "number"), [("docker", 0), ("kubernetes", 1)])
def test_every_job_variable_exists_and_has_the_type_that_the_pool_wants(kind, number):
    pool = yaml.safe_load(blocks("yml")[number])["definitions"]["pool"]
    assert pool["name"] == f"revela-{kind}"
    known = template(kind)["variables"]["properties"]
    types = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
    for key, value in pool["job_variables"].items():
        wanted = [one.get("type") for one in known[key].get("anyOf", [known[key]])]
        assert any(isinstance(value, types[name]) for name in wanted if name != "null"), (key, wanted)
        assert value in known[key].get("enum", [value])


def test_the_job_of_kubernetes_gets_the_volume_and_the_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.json").write_text(json.dumps(template("kubernetes")))
    exec(compile(blocks("py")[0], "docs/schedules.md", "exec"), {})
    manifest = json.loads(Path("base.json").read_text())["job_configuration"]["job_manifest"]
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]
    assert container["image"] == "{{ image }}" and container["env"] == "{{ env }}", "the rest is as it was"


def test_the_image_is_built_from_files_that_are_there():
    (dockerfile,) = blocks("dockerfile")
    copied = [line.split()[1:-1] for line in dockerfile.splitlines() if line.startswith("COPY ")]
    assert copied
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists(), name
    assert "VENV := .venv" in (ROOT / "Makefile").read_text(), "make setup VENV=... puts it elsewhere"
