"""Wages given careers: regressions, a fine-tuned wage head, and wage gaps."""
