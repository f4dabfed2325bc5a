"""`python -m bench.gpu prepare`, tiny: what travels, and join.sh at the other end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

from bench.gpu.bundle import wheels
from bench.gpu.bundle.cut_gguf import cut_gguf
from bench.gpu.bundle.parts import pack
from bench.gpu.prepare import named_paths, prepare
from revela.errors import RevelaError
from revela.evaluation.benchmarks import load_benchmark
from revela.groups.reading import Groups
from revela.modeling.lm import load_lm
from revela.settings import BeirBenchmark, DocstringsBenchmark
from revela.tracking import connect

ROOT = Path(__file__).parents[2]


def beir_folder(folder: Path) -> Path:
    """One query and two documents."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "a", "title": "Bees", "text": "They dance."}\n{"_id": "b", "text": "Ants walk."}\n'
    )
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "who dances?"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t2\n")
    return folder


def texts(file: Path) -> Path:
    """The pages of this project's documentation, a document each."""
    pages = sorted((ROOT / "docs").glob("*.md"))
    rows = [{"_id": page.name, "text": page.read_text(encoding="utf-8")} for page in pages]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A tiny bundle with a corpus and a benchmark of the user's."""
    root = tmp_path_factory.mktemp("gpu")
    manifest = prepare(
        root / "bundle",
        tiny=True,
        parts_mib=1,
        corpora={"prose": texts(root / "texts.jsonl")},
        benchmarks={"insects": beir_folder(root / "insects")},
    )
    return root / "bundle", manifest


@pytest.fixture(scope="module")
def joined(bundle, tmp_path_factory):
    """What join.sh makes of it, its parts given in another order."""
    folder, manifest = bundle
    target = tmp_path_factory.mktemp("there") / "dest"
    result = join(folder, target, *reversed(part_files(folder, manifest)))
    assert result.returncode == 0, result.stderr
    return target


def part_files(folder: Path, manifest: dict) -> list[Path]:
    return [folder / part["name"] for part in manifest["parts"]]


def join(folder: Path, target: Path, *parts: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(folder / "join.sh"), str(target), *map(str, parts)]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_no_part_is_larger_than_was_asked_for(bundle):
    folder, manifest = bundle
    sizes = [path.stat().st_size for path in part_files(folder, manifest)]
    assert len(sizes) > 1 and max(sizes) == 1 << 20
    names = {path.name for path in folder.iterdir()}
    assert names == {part["name"] for part in manifest["parts"]} | {"join.sh", "manifest.json"}


def test_the_joined_folder_has_every_file_of_the_manifest_and_no_other(bundle, joined):
    _, manifest = bundle
    there = {path.relative_to(joined).as_posix() for path in joined.rglob("*") if path.is_file()}
    assert there == set(manifest["files"]) | {"manifest.json"}
    assert {"code/src/revela/training/pipeline.py", "code/bench/gpu/prepare.py", "code/LICENSE"} <= there
    assert {"code/pyproject.toml", "golden/llama_config.json", "mlflow.db"} <= there
    assert manifest["asked"]["tiny"] and not manifest["asked"]["wheels"]
    assert json.loads((joined / "manifest.json").read_text())["files"] == manifest["files"]


def test_groups_are_of_eight_chunks_and_models_load(joined):
    for name in ("python", "prose"):
        groups = Groups(joined / "groups" / name)
        assert groups.group_size == 8 and 0 < len(groups) <= 12
        assert all(0 < chunk.query_end < len(chunk.text) for chunk in groups[0])
    load_lm(joined / "models" / "lm")
    for name in ("retriever", "minilm"):
        assert SentenceTransformer(str(joined / "models" / name)).encode("def f(): ...").shape == (32,)


def test_benchmarks_are_read_as_they_were_at_home(joined, tmp_path):
    built_in = load_benchmark(DocstringsBenchmark(kind="docstrings", limit=30))
    given = load_benchmark(BeirBenchmark(kind="beir", name="insects", path=beir_folder(tmp_path / "insects")))
    for at_home in (built_in, given):
        path = joined / "benchmarks" / at_home.name
        there = load_benchmark(BeirBenchmark(kind="beir", name=at_home.name, path=path))
        assert (there.queries, there.corpus, there.qrels) == (at_home.queries, at_home.corpus, at_home.qrels)


def test_the_store_has_its_tables(joined):
    client = connect(f"sqlite:///{joined / 'mlflow.db'}")
    assert client.search_experiments(max_results=1)


def test_a_damaged_part_is_named_by_its_number(bundle, tmp_path):
    folder, manifest = bundle
    first, second, *rest = part_files(folder, manifest)
    damaged = Path(shutil.copy(second, tmp_path / second.name))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    result = join(folder, tmp_path / "dest", first, damaged, *rest)
    assert result.returncode == 1 and not (tmp_path / "dest").exists()
    assert "part 2 of" in result.stderr and "is damaged" in result.stderr
    assert "missing" not in result.stderr and "Traceback" not in result.stderr


def test_a_missing_part_is_named_by_its_number(bundle, tmp_path):
    folder, manifest = bundle
    parts = part_files(folder, manifest)
    result = join(folder, tmp_path / "dest", *parts[1:])
    assert (result.returncode, result.stderr) == (1, f"part 1 of {len(parts)} (part-01) is missing\n")


def test_equal_files_give_equal_parts(tmp_path):
    for name in ("one", "other"):
        payload = tmp_path / name / "payload"
        (payload / "sub").mkdir(parents=True)
        for file in ("sub/b", "a") if name == "one" else ("a", "sub/b"):
            (payload / file).write_text(file)
        (payload / "a").chmod(0o600 if name == "one" else 0o644)
        pack(payload, tmp_path / name, 1 << 20)
    assert (tmp_path / "one/part-01").read_bytes() == (tmp_path / "other/part-01").read_bytes()
    with tarfile.open(tmp_path / "one/part-01") as archive:
        assert archive.getnames() == ["a", "sub/b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts_mib": 0}, "--parts-mib 0"),
        ({"python_groups": 0}, "--python-groups 0"),
        ({"corpora": {"python": Path("x.jsonl")}}, "--corpus python"),
        ({"corpora": {"prose": Path("absent.jsonl")}}, "--corpus prose=absent.jsonl"),
        ({"benchmarks": {"errors": Path("x")}}, "--benchmark errors"),
        ({"benchmarks": {"insects": Path("absent")}}, "--benchmark insects=absent"),
    ],
)
def test_an_option_that_cannot_be_followed_is_named_before_any_work(tmp_path, options, message):
    with pytest.raises(RevelaError, match=message):
        prepare(tmp_path / "bundle", tiny=True, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(RevelaError, match="holds something else"):
        prepare(tmp_path, tiny=True)
    assert (tmp_path / "letters.txt").read_text() == "dear"


@pytest.mark.parametrize("value", ["wiki", "=x.jsonl", "wiki=", "a/b=x.jsonl"])
def test_what_is_no_name_and_path_is_refused(value):
    with pytest.raises(RevelaError, match=r"--corpus .*expected NAME=PATH"):
        named_paths("--corpus", [value])


def test_every_wheel_of_the_list_has_a_version_and_is_named_once():
    wanted = [one for several in wheels.wanted().values() for one in several]
    names = [one.partition("==")[0] for one in wanted]
    assert "pydantic" in names and len(names) == len(set(names))
    assert all("==" in one for one in wanted)


def test_a_gguf_file_is_cut_to_its_first_layers(tmp_path):
    gguf = pytest.importorskip("gguf")
    np = pytest.importorskip("numpy")
    writer = gguf.GGUFWriter(tmp_path / "whole.gguf", "llama")
    writer.add_block_count(3)
    writer.add_token_list(["a", "b"])
    for name in ("token_embd.weight", "blk.0.x.weight", "blk.1.x.weight", "blk.2.x.weight"):
        writer.add_tensor(name, np.full((2, 2), len(name), dtype=np.float32))
    for step in ("write_header_to_file", "write_kv_data_to_file", "write_tensors_to_file", "close"):
        getattr(writer, step)()
    cut_gguf(tmp_path / "whole.gguf", tmp_path / "cut.gguf", 2)
    cut = gguf.GGUFReader(tmp_path / "cut.gguf")
    assert [tensor.name for tensor in cut.tensors] == [
        "token_embd.weight",
        "blk.0.x.weight",
        "blk.1.x.weight",
    ]
    assert cut.fields["llama.block_count"].contents() == 2
    assert cut.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    with pytest.raises(RevelaError, match=r"--layers 4: whole\.gguf has 3"):
        cut_gguf(tmp_path / "whole.gguf", tmp_path / "more.gguf", 4)
