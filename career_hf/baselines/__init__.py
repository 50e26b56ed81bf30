"""The rivals of CAREER, one file each, behind the same forward signature and the same output."""

from .markov import MarkovConfig, MarkovForOccupationPrediction, tune_weight


__all__ = ["MarkovConfig", "MarkovForOccupationPrediction", "tune_weight"]
