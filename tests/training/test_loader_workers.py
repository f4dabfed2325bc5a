"""A worker process tokenises, whatever its parent's tokenizer has done before."""

from __future__ import annotations

import os
import subprocess
import sys

# In a process of its own, which can be ended: a worker that waits for threads that are not there never ends.
SCRIPT = """
import sys
from pathlib import Path
from torch.utils.data import DataLoader
from transformers import AutoTokenizer
from revela.groups.reading import Groups
from revela.modeling.retriever import Retriever
from revela.settings import Phase
from revela.training.collator import GroupCollator
from revela.training.group_slice import GroupSlice

backbone, groups = map(Path, sys.argv[1:])
phase = Phase(name="revela", train=["retriever", "lm"], terms={"revela": 1.0}, steps=2,
              learning_rate={"retriever": 1e-3, "lm": 1e-3})
lm_tokenizer = AutoTokenizer.from_pretrained(backbone / "lm")
collate = GroupCollator(Retriever(backbone / "retriever"), lm_tokenizer, 32, phase)
dataset = GroupSlice(Groups(groups), phase, 0, 2)
collate([dataset[0]])  # the parent's tokenizers start their threads
for batch in DataLoader(dataset, batch_size=1, num_workers=1, collate_fn=collate):
    print(batch["lm"]["input_ids"].shape[0])
"""


def test_a_worker_does_not_wait_for_threads_that_its_parent_had(backbone_folder, groups_folder):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(backbone_folder), str(groups_folder)],
        env={**os.environ, "TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "2"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split()) == 2
