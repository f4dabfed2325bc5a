"""Is the language model still one? Its perplexity on text that it was not trained on."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from revela.errors import RevelaError
from revela.files import write_json
from revela.groups.reading import Groups
from revela.modeling.layers import as_they_are
from revela.settings import LmCheckSettings

log = logging.getLogger(__name__)

_FILE = "lm_check.json"


class LmCheck:
    """Measures before the first phase and after the last, in the first process alone.

    Args:
        groups: the last ones become the held-out text, and `groups` ends before them from now on.
        workspace: keeps the first measurement for a training that is resumed.

    Raises:
        RevelaError: nothing would be left to train on.
    """

    def __init__(
        self,
        settings: LmCheckSettings,
        groups: Groups,
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        workspace: Path,
    ) -> None:
        if settings.groups >= len(groups):
            raise RevelaError(
                f"training.lm_check.groups is {settings.groups}, but there are only {len(groups)} groups: "
                "none would be left to train on. Ask for fewer, or take `lm_check` out."
            )
        self._texts = [[chunk.text for chunk in group] for group in groups.split_off(settings.groups)]
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._file = workspace / _FILE

    def before(self, lm: PreTrainedModel) -> None:
        """Measure, unless an earlier run of this training has."""
        if not self._file.is_file():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, {"perplexity": self._perplexity(lm)})

    def compared(self, lm: PreTrainedModel) -> dict[str, float]:
        """``perplexity_before`` and ``perplexity_after``, rounded to 4 digits."""
        before = json.loads(self._file.read_text(encoding="utf-8"))["perplexity"]
        after = self._perplexity(lm)
        log.info("the language model's own perplexity: %.3f before, %.3f after", before, after)
        return {"perplexity_before": round(before, 4), "perplexity_after": round(after, 4)}

    @torch.no_grad()
    @as_they_are()
    def _perplexity(self, lm: PreTrainedModel) -> float:
        """exp of the mean next-token loss over all tokens, each chunk read by itself."""
        total, count = 0.0, 0
        for texts in self._texts:
            encoded = self._tokenizer(
                texts, truncation=True, max_length=self._max_tokens, padding=True, padding_side="right",
                return_tensors="pt",
            ).to(lm.device)  # fmt: skip
            ids, mask = encoded["input_ids"], encoded["attention_mask"]
            logits = lm(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            targets = ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
            total += float(F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
            count += int((targets != -100).sum())
        return math.exp(total / count)
