"""Named experiments: the whole of training and evaluation, with some settings changed, side by side."""
