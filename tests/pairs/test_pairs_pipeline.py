"""Pairs as a part of the stage build_batches: files, counts, report, and what is held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from code_tokenizer import save_code_tokenizer
from finding import document, sentences, word, write_corpus

from revela.corpus.schema import Document
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.groups.pipeline import build_batches
from revela.groups.reading import Groups
from revela.pairs.held_out import is_held_out
from revela.pairs.mining import REASONS
from revela.pairs.pipeline import build_pairs
from revela.pairs.reading import Pairs
from revela.pairs.report import EXAMPLES
from revela.pairs.schema import PAIR_SCHEMA
from revela.settings import BatchesSettings, PairsSettings

PAGES = 70  # more than two blocks of documents, so that two processes have something to do
AUTO = PairsSettings(held_out=0.3)
SETTINGS = BatchesSettings(group_size=2, min_chunk_tokens=8, workers=1)


def page(number: int) -> Document:
    """Two sections, and a link to the page with the next number."""
    first, second = sentences(6, 100 * number), sentences(8, 100 * number + 50)
    link = f"See [all about {word(number + 1)}]({number + 1}.md)."
    text = f"# All about {word(number)}\n\n{first}\n\n## Where it is from\n\n{second} {link}\n"
    return document(text, "markdown", f"{number}.md", f"docs/{number}.md")


@pytest.fixture(scope="module")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_code_tokenizer(tmp_path_factory.mktemp("retriever"))


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "documents", [page(one) for one in range(PAGES)])


class Built(NamedTuple):
    """What the stage returns, and where it wrote."""

    metrics: dict
    groups: Path
    report: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, documents: Path, tokenizer_dir: Path) -> Built:
    return stage(tmp_path_factory.mktemp("stage"), documents, tokenizer_dir, AUTO)


def stage(folder: Path, documents: Path, tokenizer_dir: Path, pairs: PairsSettings | None) -> Built:
    settings = SETTINGS.model_copy(update={"pairs": pairs})
    groups, report = folder / "groups", folder / "report"
    return Built(build_batches(settings, 0, documents, tokenizer_dir, groups, report), groups, report)


def alone(
    folder: Path, documents: Path, kinds: object, protected: tuple[str, ...] = (), workers: int = 1
) -> tuple[dict, str]:
    """The part of the stage that finds pairs."""
    folder.mkdir()
    return build_pairs(PairsSettings(kinds=kinds), 0, documents, protected, folder, workers)


def test_the_files_have_their_schema_and_shares(built: Built) -> None:
    table = pq.read_table(built.groups / "pairs-00000.parquet")
    assert table.schema.equals(PAIR_SCHEMA)
    assert all(b"description" in table.schema.field(name).metadata for name in table.schema.names)
    shares = json.loads((built.groups / "shares.json").read_text())
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert list(shares) == ["heading", "link", "sentence", "cloze", "halves"]
    kinds = built.metrics["pairs"]["kinds"]
    assert shares == {kind: one["share"] for kind, one in kinds.items() if one["share"]}


def test_counts_are_those_of_the_file(built: Built) -> None:
    metrics, pairs = built.metrics["pairs"], Pairs(built.groups)
    assert len(pairs) == len(pairs.all()) == metrics["pairs"] and metrics["documents"] == PAGES
    assert pairs.kinds() == list(metrics["kinds"])
    for kind, counts in metrics["kinds"].items():
        of_kind = pairs.of_kind(kind)
        assert len(of_kind) == counts["pairs"]
        assert len(pairs.held_out().of_kind(kind)) == counts["held_out"]
        assert len(pairs.trained().of_kind(kind)) == counts["pairs"] - counts["held_out"]
        assert len({pair.document_id for pair in of_kind}) == counts["documents"]
    assert metrics["dropped_by_reason"]["no_target"] == {"link": 1}
    assert metrics["dropped_by_reason"]["held_apart"]["link"] > 5


def test_documents_that_are_held_out_are_in_no_group_and_no_pair_that_is_trained_on(built: Built) -> None:
    held = {f"docs/{one}.md" for one in range(PAGES) if is_held_out(f"docs/{one}.md", AUTO.held_out, 0)}
    assert 10 < len(held) < 35
    pairs = Pairs(built.groups)
    assert {pair.document_id for pair in pairs.held_out().all()} == held
    trained = {pair.document_id for pair in pairs.trained().all()}
    assert trained.isdisjoint(held) and len(trained) == PAGES - len(held)
    grouped = {chunk.document_id for group in Groups(built.groups) for chunk in group}
    assert grouped and grouped <= trained
    texts = [page(one).text for one in range(PAGES) if f"docs/{one}.md" in held]
    links = pairs.trained().of_kind("link")
    assert links and not any(pair.passage in text for pair in links for text in texts)


def test_the_chunks_of_documents_that_are_held_out_are_counted(built: Built) -> None:
    dropped = built.metrics["chunks_dropped_by_reason"]
    assert dropped["held_out"] > 20
    cutting = {"short_chunk", "no_query_split", "no_safe_cut"}
    left = sum(count for reason, count in dropped.items() if reason not in cutting)
    assert built.metrics["chunks"] == built.metrics["chunks_used"] + left


def test_the_report_shows_counts_reasons_and_examples(built: Built) -> None:
    metrics = built.metrics["pairs"]
    assert json.loads((built.report / "metrics.json").read_text())["pairs"] == metrics
    groups, _, report = (built.report / "report.md").read_text().partition("# Pairs\n")
    assert "# Groups" in groups
    assert f"{metrics['pairs']} pairs of a query and a passage out of {PAGES} documents" in report
    for kind, one in metrics["kinds"].items():
        assert f"| `{kind}` | {one['pairs']} | {one['documents']} | {one['held_out']} |" in report
        assert f"## {EXAMPLES} pairs of kind {kind}\n" in report
        for pair in Pairs(built.groups).of_kind(kind)[:EXAMPLES]:
            assert f"`{pair.document_id}`\n\n    ? {pair.query}\n    " in report
    for reason, kinds in metrics["dropped_by_reason"].items():
        assert f"| `{reason}` | {sum(kinds.values())} | " in report and f" | {REASONS[reason]} |" in report


def test_without_the_setting_there_are_no_pairs(tmp_path: Path, documents: Path, tokenizer_dir: Path) -> None:
    metrics, groups, report = stage(tmp_path, documents, tokenizer_dir, None)
    assert "pairs" not in metrics and not metrics["chunks_dropped_by_reason"].get("held_out")
    assert sorted(path.name for path in groups.iterdir()) == ["groups-00000.parquet", "statistics.parquet"]
    assert "# Pairs" not in (report / "report.md").read_text()


def test_a_stage_that_finds_no_pairs_leaves_nothing(
    tmp_path: Path, documents: Path, tokenizer_dir: Path
) -> None:
    with pytest.raises(RevelaError, match="no pairs of kind answer"):
        stage(tmp_path, documents, tokenizer_dir, PairsSettings(kinds={"answer": 1}))
    assert not (tmp_path / "groups").exists() and not (tmp_path / "report").exists()


def test_the_same_input_gives_the_same_bytes_with_any_number_of_processes(
    tmp_path: Path, documents: Path
) -> None:
    told = [alone(tmp_path / str(number), documents, "auto", workers=1 + number // 2) for number in range(3)]
    assert told[0] == told[1] == told[2]
    assert len({sha256_tree(tmp_path / str(number)) for number in range(3)}) == 1


def test_queries_of_benchmarks_are_not_trained_on(tmp_path: Path, documents: Path) -> None:
    protected = (f"All about: '{word(3)}'!", "and another one")
    metrics, _ = alone(tmp_path / "pairs", documents, {"heading": 1}, protected)
    assert metrics["dropped_by_reason"] == {"benchmark_query": {"heading": 1}}
    queries = {pair.query for pair in Pairs(tmp_path / "pairs").all()}
    assert f"All about {word(3)}" not in queries and f"All about {word(4)}" in queries


def test_shares_that_are_asked_for_are_written(tmp_path: Path, documents: Path) -> None:
    alone(tmp_path / "pairs", documents, {"heading": 3, "halves": 1})
    assert Pairs(tmp_path / "pairs").shares == {"heading": 0.75, "halves": 0.25}


def test_a_kind_that_is_asked_for_and_not_there_is_named(tmp_path: Path, documents: Path) -> None:
    told = r"no pairs of kind answer, docstring\. Of those asked for it has: heading \(\d+\)"
    with pytest.raises(RevelaError, match=told):
        alone(tmp_path / "pairs", documents, {"heading": 1, "answer": 1, "docstring": 1})
    with pytest.raises(RevelaError, match=r"no pairs of kind answer\. Of those asked for it has: none"):
        alone(tmp_path / "none", documents, {"answer": 1})


def test_a_corpus_without_pairs_of_any_kind_is_refused(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "documents", [document("key: value\n" * 6, "yaml")])
    with pytest.raises(
        RevelaError, match=r"no pairs of any kind: no titles, headings.*Remove `batches\.pairs`"
    ):
        alone(tmp_path / "pairs", corpus, "auto")
