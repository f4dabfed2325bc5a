"""What a run is trained on: what the stages made, or, where its overrides ask for others, its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from revela.ablations.plan import digest
from revela.corpus.pipeline import filter_corpus, read_documents
from revela.evaluation.benchmarks import protected_queries, protected_texts
from revela.files import sha256_tree
from revela.groups.pipeline import build_batches
from revela.modeling.backbone import prepare_backbone
from revela.questions.pipeline import generated_for
from revela.settings import Settings
from revela.tracking.provenance import safe_key


@dataclass(frozen=True)
class Inputs:
    """Folders as the stages write them.

    Attributes:
        backbone, documents, groups: as in ``data``.
    """

    backbone: Path
    documents: Path
    groups: Path

    def training_texts(self) -> Iterator[str]:
        """The documents, whole."""
        return (document.text for document in read_documents(self.documents))

    def tags(self, made: Inputs) -> dict[str, str]:
        """For a run in MLflow: which of `made`, whose hashes in dvc.lock are its tags, it does not read."""
        pairs = ((made.backbone, self.backbone), (made.documents, self.documents), (made.groups, self.groups))
        return {safe_key(f"dvc.{stage}"): f"not read, but {own.name}" for stage, own in pairs if own != stage}


class InputMaker:
    """Makes what overrides ask for, each once.

    Args:
        settings: without overrides; they say what `made` holds.
        made: by the stages.
        cache: where own inputs are kept for the next call; may be deleted at any time.
    """

    def __init__(self, settings: Settings, made: Inputs, cache: Path) -> None:
        self._settings = settings
        self._made = made
        self._cache = cache
        self._filtered: set[Path] = set()

    def of(self, wanted: Settings) -> Inputs:
        """The inputs that these settings, which are those of the stages with overrides, ask for.

        Raises:
            RevelaError: a model or a source cannot be read, or nothing is left of the text.
        """
        backbone, documents = self._backbone(wanted), self._documents(wanted)
        return Inputs(backbone, documents, self._groups(wanted, backbone, documents))

    def _backbone(self, wanted: Settings) -> Path:
        if wanted.backbone == self._settings.backbone:
            return self._made.backbone
        folder = self._cache / f"backbone-{digest(wanted.backbone.model_dump(mode='json'))}"
        if not folder.is_dir():
            prepare_backbone(wanted.backbone, folder)
        return folder

    def _documents(self, wanted: Settings) -> Path:
        """Filtered anew in every call of `revela ablate`, for sources grow; only what is new takes time."""
        if wanted.corpus == self._settings.corpus:
            return self._made.documents
        # The benchmarks, which documents must not contain, are part of what decides them.
        benchmarks = [benchmark.model_dump(mode="json") for benchmark in wanted.evaluate.benchmarks]
        folder = self._cache / f"documents-{digest(wanted.corpus.model_dump(mode='json'), benchmarks)}"
        if folder not in self._filtered:
            report, parts = (folder.with_name(f"{folder.name}-{what}") for what in ("report", "parts"))
            filter_corpus(wanted.corpus, protected_texts(wanted.evaluate), folder, report, parts)
            self._filtered.add(folder)
        return folder

    def _groups(self, wanted: Settings, backbone: Path, documents: Path) -> Path:
        """Groups of these documents and this seed; they are cut in the retriever's tokens."""
        deciding = [
            [
                one.seed,
                one.batches.model_dump(mode="json"),
                one.backbone.retriever.model_dump(mode="json"),
                # Who writes questions, where somebody does.
                one.backbone.lm.model_dump(mode="json") if one.batches.generated is not None else [],
                # No pair may have a benchmark's query.
                [benchmark.model_dump(mode="json") for benchmark in one.evaluate.benchmarks]
                if one.batches.pairs is not None
                else [],
            ]
            for one in (self._settings, wanted)
        ]
        if deciding[0] == deciding[1] and documents == self._made.documents:
            return self._made.groups
        folder = self._cache / f"groups-{digest(deciding[1], sha256_tree(documents))}"
        if not folder.is_dir():
            report = folder.with_name(f"{folder.name}-report")
            protected = protected_queries(wanted.evaluate) if wanted.batches.pairs is not None else ()
            build_batches(
                wanted.batches, wanted.seed, documents, backbone / "retriever", folder, report, protected,
                generated_for(wanted, documents, backbone, self._cache),
            )  # fmt: skip
        return folder
