"""The language model at work: batch after batch, each kept as soon as it is written."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from revela.errors import RevelaError
from revela.files import read_json, write_json
from revela.progress import track
from revela.questions.choosing import Asked
from revela.questions.prompt import prompt_of, question_of
from revela.settings import GeneratedSettings

log = logging.getLogger(__name__)


class Writer(NamedTuple):
    """A causal language model and its tokenizer, which pads on the left."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def write_questions(
    asked: Sequence[Asked], settings: GeneratedSettings, seed: int, writer: Callable[[], Writer], folder: Path
) -> list[str]:
    """One question for every passage; empty where the model says nothing.

    Batch after batch is kept in `folder`, so that an interrupted run goes on, and one for more passages has
    the first ones already. On one machine the same seed writes the same questions.

    Args:
        asked: in the order that decides the batches.
        writer: loads the model; only called if something is left to write.
        folder: of this model, these settings and this seed; made if need be.
    """
    return [question for batch in _batches(asked, settings, seed, writer, folder) for question in batch]


def _batches(
    asked: Sequence[Asked], settings: GeneratedSettings, seed: int, writer: Callable[[], Writer], folder: Path
) -> Iterator[list[str]]:
    starts = range(0, len(asked), settings.batch_size)
    for start in track(starts, f"questions, batches of {settings.batch_size}"):
        batch = asked[start : start + settings.batch_size]
        name = hashlib.blake2b(" ".join(one.key for one in batch).encode(), digest_size=8).hexdigest()
        file = folder / f"{name}.json"
        questions = _kept(file)
        if questions is None or len(questions) != len(batch):
            prompts = [prompt_of(one.passage, settings, writer().tokenizer) for one in batch]
            draw = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=7)
            torch.manual_seed(int.from_bytes(draw.digest()))
            questions = [question_of(answer) for answer in _answers(prompts, settings, writer())]
            write_json(file, questions)
        yield questions


def _kept(file: Path) -> list[str] | None:
    if not file.is_file():
        return None
    try:
        kept: list[str] = read_json(file)
    except RevelaError as fault:
        log.warning("%s Its questions are written again.", fault)
        return None
    return kept


@torch.inference_mode()
def _answers(prompts: Sequence[str], settings: GeneratedSettings, writer: Writer) -> list[str]:
    model, tokenizer = writer
    # A chat template writes the special tokens itself.
    bare = tokenizer.chat_template is None
    inputs = tokenizer(list(prompts), return_tensors="pt", padding=True, add_special_tokens=bare)
    inputs = {key: inputs[key].to(model.device) for key in ("input_ids", "attention_mask")}
    sampled: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if settings.temperature:
        sampled = {
            "do_sample": True,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": 0,
        }
    # What follows the question is not asked for.
    written = cast(Any, model).generate(
        **inputs,
        **sampled,
        max_new_tokens=settings.question_tokens,
        pad_token_id=tokenizer.pad_token_id,
        stop_strings=["?", "\n\n"],
        tokenizer=tokenizer,
    )
    return tokenizer.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
