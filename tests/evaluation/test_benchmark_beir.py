import gzip
import json
from pathlib import Path

import pytest

from revela.errors import RevelaError
from revela.evaluation.benchmarks import load_benchmark
from revela.settings import BeirBenchmark

CORPUS = [
    {"_id": "d1", "title": "Wings", "text": "lift and drag"},
    {"_id": "d2", "title": "", "text": "heat transfer"},
    {"_id": 3, "text": "no title at all"},
]
QUERIES = [
    {"_id": "q1", "text": "what is lift"},
    {"_id": "q2", "text": "never judged"},
    {"_id": "q3", "text": "only judged irrelevant"},
]
QRELS = ["query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\t3\t0", "q3\td2\t0"]


def jsonl(rows: list) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def write(
    folder: Path, corpus=CORPUS, queries=QUERIES, qrels=QRELS, *, zipped: bool = False
) -> BeirBenchmark:
    (folder / "qrels").mkdir(exist_ok=True)
    files = {
        "corpus.jsonl": jsonl(corpus),
        "queries.jsonl": jsonl(queries),
        "qrels/test.tsv": "".join(line + "\n" for line in qrels),
    }
    for name, text in files.items():
        if zipped:
            (folder / (name + ".gz")).write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    return BeirBenchmark(kind="beir", name="toy", path=folder)


@pytest.mark.parametrize("zipped", [False, True])
def test_reads_the_layout_plain_and_gzipped(tmp_path: Path, zipped: bool):
    benchmark = load_benchmark(write(tmp_path, zipped=zipped))
    assert benchmark.corpus == {"d1": "Wings lift and drag", "d2": "heat transfer", "3": "no title at all"}
    assert benchmark.queries == {"q1": "what is lift"}  # q2 has no judgement, q3 no relevant document
    assert benchmark.qrels == {"q1": {"d1": 2, "3": 0}}
    assert (benchmark.name, benchmark.code) == ("toy", False)


@pytest.mark.parametrize(
    ("part", "lines", "message"),
    [
        ("corpus", [CORPUS[0], "{not json"], r"corpus\.jsonl:2: not JSON"),
        ("corpus", [CORPUS[0], "[1]"], r"corpus\.jsonl:2: expected a JSON object, found list"),
        ("corpus", [CORPUS[0], CORPUS[0]], r"corpus\.jsonl:2: `_id` 'd1' was given to an earlier line"),
        ("corpus", [CORPUS[0], {"text": "x"}], r"corpus\.jsonl:2: `_id` must be a string, found None"),
        ("corpus", [{"_id": "d1"}], r"corpus\.jsonl:1: `text` must be a string, found None"),
        ("queries", [{"_id": "q1", "text": 5}], r"queries\.jsonl:1: `text` must be a string, found 5"),
        ("queries", [{"_id": "q1", "text": " "}], r"queries\.jsonl:1: query 'q1' has an empty `text`"),
        ("qrels", QRELS[1:], r"test\.tsv:1: expected the header"),
        ("qrels", [*QRELS[:2], "q1 0 d2 1"], r"test\.tsv:3: expected 3 fields"),
        (
            "qrels",
            [*QRELS[:2], "q1\td2\thigh"],
            r"test\.tsv:3: the score must be a whole number, found 'high'",
        ),
        ("qrels", [*QRELS[:2], "q9\td2\t1"], r"test\.tsv:3: query 'q9' is not in the queries"),
        ("qrels", [*QRELS[:2], "q1\td9\t1"], r"test\.tsv:3: document 'd9' is not in the corpus"),
        ("qrels", [*QRELS[:2], "q1\td1\t1"], r"test\.tsv:3: .* have another score above"),
        ("qrels", [QRELS[0], QRELS[3]], r"test\.tsv: no query has a document with a score above 0"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, part: str, lines: list, message: str):
    settings = write(tmp_path, **{part: lines})
    with pytest.raises(RevelaError, match=message):
        load_benchmark(settings)


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path):
    settings = write(tmp_path)
    with (tmp_path / "corpus.jsonl").open("ab") as file:
        file.write(b'{"_id": "d4", "text": "caf\xe9"}\n')
    with pytest.raises(RevelaError, match=r"corpus\.jsonl:4: not UTF-8"):
        load_benchmark(settings)


def test_a_cut_off_gzip_file_is_named(tmp_path: Path):
    settings = write(tmp_path, zipped=True)
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(RevelaError, match=r"corpus\.jsonl\.gz:\d+: cannot be read"):
        load_benchmark(settings)


def test_missing_files_are_named(tmp_path: Path):
    settings = write(tmp_path)
    (tmp_path / "queries.jsonl").unlink()
    with pytest.raises(RevelaError, match=r"queries\.jsonl: no such file \(nor queries\.jsonl\.gz\)"):
        load_benchmark(settings)
    absent = BeirBenchmark(kind="beir", name="toy", path=tmp_path / "absent")
    with pytest.raises(RevelaError, match="absent: no such folder"):
        load_benchmark(absent)
    with pytest.raises(RevelaError, match=r"dev\.tsv: no such file"):
        load_benchmark(write(tmp_path).model_copy(update={"split": "dev"}))
