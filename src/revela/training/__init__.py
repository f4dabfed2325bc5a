"""Training: phases of transformers.Trainer around one module that holds retriever and LM."""
