"""Passages -> questions -> those that find their passage again: a part of the stage `build_batches`."""

from __future__ import annotations

import functools
import json
import logging
from pathlib import Path

from transformers import AutoModelForCausalLM

from revela.errors import RevelaError
from revela.evaluation.loading import default_device
from revela.evaluation.vector_cache import VectorCache
from revela.modeling.backbone import check_sources, load_pretrained
from revela.modeling.precision import resolve_dtype
from revela.pairs.generated import GENERATED, Generated
from revela.pairs.pair import Pair
from revela.questions.choosing import choose
from revela.questions.found_again import ranks_of
from revela.questions.writing import Writer, write_questions
from revela.settings import GeneratedSettings, ModelSource, Settings
from revela.training.checkpoints import fingerprint

log = logging.getLogger(__name__)

_DECIDE_THE_WORDS = ("model", "instruction", "examples", "passage_tokens", "question_tokens", "temperature",
                     "top_p", "batch_size")  # fmt: skip


def generate(
    settings: GeneratedSettings, seed: int, documents_dir: Path, backbone_dir: Path, cache_dir: Path
) -> Generated:
    """Let a language model ask for passages of the corpus; what it wrote is kept in `cache_dir`.

    Args:
        settings: ``batches.pairs.generated``.
        documents_dir: what ``filter_corpus`` wrote.
        backbone_dir: what ``prepare_backbone`` wrote: the retriever, and the language model if the settings
            name none.

    Raises:
        RevelaError: no corpus, the language model cannot be loaded, or it wrote nothing that helps.
    """
    asked = choose(documents_dir, settings.passages, seed)
    if not asked:
        raise RevelaError(
            "batches.pairs.generated: the corpus has no passage of 8 words and more to ask about. "
            "Remove `generated`, or add text."
        )
    if len(asked) < settings.passages:
        log.info("the corpus has %d passages, fewer than the %d to ask about", len(asked), settings.passages)
    model_dir = backbone_dir / "lm"
    folder = cache_dir / "questions" / _mark(settings, seed, model_dir)
    writer = functools.cache(lambda: _load(settings, model_dir))
    questions = write_questions(asked, settings, seed, writer, folder)
    said = [(question, one) for question, one in zip(questions, asked, strict=True) if question]
    pairs = [Pair(GENERATED, question, one.passage, one.document_id, one.source) for question, one in said]
    dropped = {"no_question": len(asked) - len(pairs)}
    if settings.found_within is not None and pairs:
        ranks = ranks_of(
            [pair.query for pair in pairs],
            [pair.passage for pair in pairs],
            backbone_dir / "retriever",
            settings.passage_tokens,
            VectorCache(cache_dir / "vectors"),
        )
        found = [pair for pair, rank in zip(pairs, ranks, strict=True) if rank < settings.found_within]
        dropped["not_found_again"] = len(pairs) - len(found)
        pairs = found
    log.info("questions: %d of %d passages have one; dropped: %s", len(pairs), len(asked), dropped)
    if not pairs:
        raise RevelaError(
            f"batches.pairs.generated: of {len(asked)} questions none is left ({json.dumps(dropped)}). Name "
            "a larger `model`, give `examples` of your own text, or raise `found_within`."
        )
    return Generated(pairs, {reason: number for reason, number in dropped.items() if number})


def generated_for(
    settings: Settings, documents_dir: Path, backbone_dir: Path, cache_dir: Path
) -> Generated | None:
    """What the settings ask for; None where they ask for nothing."""
    wanted = settings.batches.generated
    if wanted is None:
        return None
    check_model(settings)
    return generate(wanted, settings.seed, documents_dir, backbone_dir, cache_dir)


def check_model(settings: Settings) -> None:
    """Is the language model there that is to write? A hub id is looked for when it is loaded.

    Raises:
        RevelaError: it is not.
    """
    wanted = settings.batches.generated
    if wanted is None or wanted.model is None:
        return
    try:
        check_sources(settings.backbone.model_copy(update={"lm": wanted.model}))
    except RevelaError as fault:
        raise RevelaError(f"batches.pairs.generated.model: {fault}") from fault


def _mark(settings: GeneratedSettings, seed: int, model_dir: Path) -> str:
    """Stands for all that decides the words of a question but its passage."""
    deciding = settings.model_dump(mode="json", include=set(_DECIDE_THE_WORDS))
    if settings.model is None:
        return fingerprint([deciding, seed], model_dir)
    own = Path(settings.model.name)
    return fingerprint([deciding, seed], *([own] if settings.model.kind == "folder" else []))


def _load(settings: GeneratedSettings, model_dir: Path) -> Writer:
    source = settings.model or ModelSource(kind="folder", name=str(model_dir))
    model, tokenizer = load_pretrained(source, AutoModelForCausalLM)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise RevelaError(
            "batches.pairs.generated: the language model's tokenizer has neither a pad nor an eos token, so "
            "it cannot write about texts of unequal length at once. Name another `model`."
        )
    tokenizer.padding_side = "left"
    device = default_device()
    # transformers decorates `to`, after which mypy takes it for a function of the model.
    model.to(device, resolve_dtype("auto", device))  # type: ignore[arg-type]
    return Writer(model.eval(), tokenizer)
