"""The commands of `career-hf`, one module each; `career_hf/cli.py` puts them together."""
