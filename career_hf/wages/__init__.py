"""Wages given careers: regressions, a fine-tuned wage head, and wage gaps."""

import transformers  # noqa: F401  # registers the models before any file here is imported: see `registration`

from .decomposition import gelbach, oaxaca_blinder
from .design import BLAU_KAHN, BLOCKS, available_blocks, wage_frame
from .finetuning import METHODS
from .gap_estimates import GapGroups, GapReport, gap, gap_sample
from .gaps import GapEstimate, GapResult, GapSample, Nuisances, Overlap, aipw_gap, outcome_only_gap, raw_gap
from .occupation_pay import OccupationPay, occupation_pay
from .regression import (
    CoefficientTable,
    WageRegression,
    WageReport,
    estimate,
    held_out_r2,
    predict_held_out,
    r2_differences,
    regress,
)
from .wage_head import build_wage_trainer, encode_wages, predict_log_wages, wage_recipe


__all__ = [
    "BLAU_KAHN",
    "BLOCKS",
    "METHODS",
    "CoefficientTable",
    "GapEstimate",
    "GapGroups",
    "GapReport",
    "GapResult",
    "GapSample",
    "Nuisances",
    "OccupationPay",
    "Overlap",
    "WageRegression",
    "WageReport",
    "aipw_gap",
    "available_blocks",
    "build_wage_trainer",
    "encode_wages",
    "estimate",
    "gap",
    "gap_sample",
    "gelbach",
    "held_out_r2",
    "oaxaca_blinder",
    "occupation_pay",
    "outcome_only_gap",
    "predict_held_out",
    "predict_log_wages",
    "r2_differences",
    "raw_gap",
    "regress",
    "wage_frame",
    "wage_recipe",
]
