"""The models: in-batch attention, the conditioned loss, the backbone and the retriever."""

from revela.modeling.conditioned import ConditionedOutput, conditioned_loss
from revela.modeling.lm import load_lm

__all__ = ["ConditionedOutput", "conditioned_loss", "load_lm"]
