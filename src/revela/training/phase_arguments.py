"""A phase of the settings in the words of transformers.TrainingArguments."""

from __future__ import annotations

from pathlib import Path

from transformers import TrainingArguments

from revela.settings import Phase, TrainingSettings
from revela.training.processes import groups_per_process

_DECAYS = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


def phase_arguments(
    phase: Phase,
    training: TrainingSettings,
    *,
    seed: int,
    output_dir: Path,
    bf16: bool,
    cpu: bool,
    groups_per_forward: int,
) -> TrainingArguments:
    """A phase as TrainingArguments; each process accumulates over its groups, some in each forward.

    Raises:
        RevelaError: the processes cannot share the groups of a step evenly.
    """
    groups = groups_per_process(training.groups_per_step)
    # With `negatives: step` a step is one batch, which the trainer takes apart itself.
    together = groups if phase.negatives == "step" else groups_per_forward
    workers = int(not cpu) if training.loader_workers == "auto" else training.loader_workers
    arguments = TrainingArguments(
        output_dir=str(output_dir),
        max_steps=phase.steps,
        per_device_train_batch_size=together,
        gradient_accumulation_steps=groups // together,
        lr_scheduler_type=_DECAYS[phase.decay],
        warmup_steps=phase.warmup_steps,
        max_grad_norm=training.max_grad_norm,
        weight_decay=training.weight_decay,
        bf16=bf16,
        use_cpu=cpu,
        seed=seed,
        data_seed=seed,
        logging_strategy="steps",
        logging_steps=1,
        # It would ask the device after every forward; the loss is looked at once a step.
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=training.save_every,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=[],
        dataloader_num_workers=workers,
        dataloader_prefetch_factor=2 if workers else None,
        accelerator_config={"non_blocking": not cpu},
    )
    # The Trainer would spread one process over all GPUs by nn.DataParallel, which cuts every tensor of a
    # group along its first dimension; several GPUs are the business of several processes.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
