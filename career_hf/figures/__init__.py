"""Pictures: frames in, figures out, in the one style of `figures.style`. `save` writes a figure as PNG."""

from .careers import description_figures, lengths_figure, sequences_figure, states_figure, transitions_figure
from .displacement import displacement_figure
from .evaluation import figures as evaluation_figures
from .evaluation import plot_levels, plot_reliability, plot_steps, plot_transitions
from .exposure import exposure_figure
from .forecasts import calibration_figure, person_figure, shares_figure
from .gaps import gap_figure
from .rationales import rationale_figure
from .style import require_matplotlib, save
from .training import plot_training
from .transition_matrices import transition_matrices_figure
from .wage_regressions import r2_figure
from .what_if import what_if_figure


__all__ = [
    "calibration_figure",
    "description_figures",
    "displacement_figure",
    "evaluation_figures",
    "exposure_figure",
    "gap_figure",
    "lengths_figure",
    "person_figure",
    "plot_levels",
    "plot_reliability",
    "plot_steps",
    "plot_training",
    "plot_transitions",
    "r2_figure",
    "rationale_figure",
    "require_matplotlib",
    "save",
    "sequences_figure",
    "shares_figure",
    "states_figure",
    "transition_matrices_figure",
    "transitions_figure",
    "what_if_figure",
]
