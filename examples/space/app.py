"""A Hugging Face Space: build a career year by year, and see what a checkpoint predicts and what that rests on.

    python examples/space/app.py    # the model that ships with the package; or a folder, or a Hub id

Importing this module loads no model and reads no network. `predictions.py` has the logic.
"""

from __future__ import annotations

import argparse
import html
import os
from base64 import b64encode
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from textwrap import shorten
from typing import TYPE_CHECKING, Any


# Before gradio is imported, which reads it then: nothing is sent anywhere.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr  # noqa: E402
import pandas as pd  # noqa: E402
from example_careers import example_careers  # noqa: E402
from limits import Door  # noqa: E402
from predictions import MOST_AHEAD, MOST_SAMPLES, PERSON, Career, CareerPredictor  # noqa: E402

from career_hf.encoding.vocabulary import MISSING  # noqa: E402
from career_hf.figures.forecasts import person_figure  # noqa: E402
from career_hf.figures.rationales import rationale_figure  # noqa: E402
from career_hf.models.shipped import SMALL  # noqa: E402


if TYPE_CHECKING:
    from matplotlib.figure import Figure


CHECKPOINT, OPEN_API = "CAREER_CHECKPOINT", "CAREER_API"
WAITING, SESSIONS = 32, 1_000
FONTS = ["system-ui", "sans-serif"]
# Figures scroll sideways where their text would be too small; who uses the keyboard sees where they are.
CSS = """
.gradio-container { max-width: min(1240px, 100vw) !important; margin: 0 auto !important; }
.figure { overflow-x: auto; contain: inline-size; }
.figure img { height: auto; }
input[role=listbox], input[role=combobox] { text-overflow: ellipsis; padding-right: 2rem !important; }
button[role=tab].selected { color: var(--primary-700) !important; }
button:focus-visible, .figure:focus-visible { outline: 3px solid var(--primary-700) !important; outline-offset: 2px; }
"""
THEME = gr.themes.Default(primary_hue="blue", font=FONTS, font_mono=FONTS).set(
    button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700"
)
PAST_YEARS, LONGEST_NAME = 4, 28
# Width of an inch of a figure at least and at most, in rem.
SMALLEST, LARGEST, DPI = 4.8, 7, 160


def build(predictor: CareerPredictor, checkpoint: str, api: bool = False) -> gr.Blocks:
    """The page for a loaded checkpoint, with an endpoint for programs if it is asked for."""
    with gr.Blocks(title="CAREER: the next years of a career", analytics_enabled=False) as page:
        career = gr.State(predictor.empty())
        gr.Markdown(_introduction(predictor, checkpoint))
        with gr.Row():
            with gr.Column(scale=2, min_width=340):
                form = _Form(predictor)
            with gr.Column(scale=3, min_width=340):
                results = _Results(predictor)
        form.connect(career, results)
        results.connect(career)
        if api:
            _api(predictor)
    # One at a time: a CPU gains nothing from two forecasts at once.
    return page.queue(max_size=WAITING, default_concurrency_limit=1)


def launch_settings(api: bool = False) -> dict[str, Any]:
    """How the page is served: no file of the machine, no upload, no public address, no trace of an error.

    Args:
        api: Whether programs may ask, too; a description of the API is served then.
    """
    return {
        "css": CSS,
        "theme": THEME,
        "footer_links": ["api"] if api else [],
        "share": False,
        "show_error": False,
        "allowed_paths": [],
        "ssr_mode": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "max_file_size": 1,
        "state_session_capacity": SESSIONS,
        "app_kwargs": {"middleware": [Door.middleware(api)], "openapi_url": None},
    }


def kindly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Shows the text of a ValueError in a message box, which takes it for HTML."""

    @wraps(function)
    def shown(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from error

    return shown


class _Form:
    """Where a career is built: examples, one year's values, and the years so far."""

    def __init__(self, predictor: CareerPredictor) -> None:
        self.predictor = predictor
        gr.Markdown("### Build a career")
        self.examples = example_careers(predictor)
        gr.Markdown("Begin with an example, drawn from the model and nobody's:")
        with gr.Row(equal_height=True):
            self.buttons = [gr.Button(_described(predictor, own), size="sm", min_width=180) for own in self.examples]
        gr.Markdown("Or enter years one by one; a year that is there already is replaced.")
        with gr.Group():
            with gr.Row():
                years = predictor.trained_years
                self.year = gr.Number(
                    label="Year" + (f", {years[0]}–{years[-1]}" if years else ""),
                    value=self.examples[0]["year"][0],
                    precision=0,
                    min_width=150,
                )
                self.occupation = gr.Dropdown(
                    [(name, label) for label, name in predictor.names.items()],
                    value=predictor.occupations[0],
                    label="Occupation",
                    min_width=200,
                    scale=2,
                )
            with gr.Row():
                self.levels = [
                    gr.Dropdown(
                        [(_words(level), level) for level in levels],
                        value=self.examples[0][name][0],
                        label=_words(name),
                        min_width=180,
                    )
                    for name in predictor.covariates
                    for levels in [predictor.levels(name)]
                ]
        with gr.Row():
            self.add = gr.Button("Add year", size="md", min_width=100)
            self.remove = gr.Button("Remove year", size="md", min_width=100)
            self.clear = gr.Button("Start over", size="md", min_width=100)
        self.table = gr.Dataframe(
            headers=["year", "occupation"],
            label="The career so far",
            interactive=False,
            max_height=380,
            wrap=True,
            buttons=[],
        )
        self.constant = gr.Markdown()

    def connect(self, career: gr.State, results: _Results) -> None:
        predictor = self.predictor
        # What was predicted is of another career then.
        changed = [career, self.table, self.constant, self.year, *results.all]
        given = [career, self.year, self.occupation, *self.levels]

        def shown(own: Career) -> tuple[Any, ...]:
            return own, *self._rows(own), self._next_year(own), *results.nothing()

        @kindly
        def add(own: Career, year: Any, occupation: str | None, *levels: str | None) -> Any:
            return shown(predictor.add_year(own, year, occupation, list(levels)))

        @kindly
        def remove(own: Career, year: Any) -> Any:
            if year not in own["year"]:
                raise ValueError(f"year {year} is not in the career, which has the years {own['year']}")
            return shown(predictor.remove_year(own, year))

        # Whatever goes wrong is in a message box, and not on top of the fields as well.
        settings: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        self.add.click(add, given, changed, **settings)
        self.remove.click(remove, [career, self.year], changed, **settings)
        self.clear.click(lambda: shown(predictor.empty()), None, changed, **settings)
        form = [self.occupation, *self.levels]
        for button, own in zip(self.buttons, self.examples, strict=True):
            last = [own["occupation"][-1], *(own[name][-1] for name in predictor.covariates)]
            values = (*shown(own), *last)
            button.click(lambda v=values: v, None, [*changed, *form], **settings)

    def _rows(self, own: Career) -> tuple[pd.DataFrame, str]:
        """The years as a table, and in words the covariates that are the same in all of them."""
        constant = [name for name in self.predictor.covariates if len(set(own[name])) == 1]
        rows = {"year": own["year"], "occupation": [self.predictor.names[label] for label in own["occupation"]]}
        rows |= {_words(name): own[name] for name in self.predictor.covariates if name not in constant}
        said = "; ".join(f"{_words(name)}: {_words(own[name][0] or MISSING)}" for name in constant)
        if not own["year"]:
            return pd.DataFrame(columns=["year", "occupation"]), ""
        return pd.DataFrame(rows, dtype=object), f"In all years: {said}." if said else ""

    def _next_year(self, own: Career) -> int:
        if not own["year"]:
            return self.examples[0]["year"][0]
        return own["year"][-1] + self.predictor.processor.step_length


class _Results:
    """What is predicted: the coming year, the years after it, and what the prediction rests on."""

    def __init__(self, predictor: CareerPredictor) -> None:
        self.predictor = predictor
        gr.Markdown("### What the model expects")
        self.predict = gr.Button("Predict", variant="primary", size="lg")
        with gr.Tabs():
            with gr.Tab("Next year"):
                self.headline = gr.Markdown(self.nothing()[0])
                self.bars = gr.Label(label="Stay or move", show_heading=False, visible=False, buttons=[])
                self.table = gr.Dataframe(
                    label="Likeliest moves", interactive=False, wrap=True, visible=False, buttons=[]
                )
            with gr.Tab("Forecast"):
                with gr.Row():
                    self.horizon = gr.Slider(1, MOST_AHEAD, 5, step=1, label="Years ahead", min_width=180)
                    self.samples = gr.Slider(
                        50, MOST_SAMPLES, 200, step=50, label="Sampled trajectories", min_width=180
                    )
                self.again = gr.Button("Forecast with these settings", size="sm")
                self.forecast_words = gr.Markdown(self.nothing()[3])
                self.chart = gr.HTML()
                self.years = gr.Dataframe(
                    label="The likeliest of each year",
                    interactive=False,
                    wrap=True,
                    visible=False,
                    column_widths=["19%", "27%", "27%", "27%"],
                    buttons=[],
                )
            with gr.Tab("Rationale"):
                self.reasons = gr.Markdown(self.nothing()[6])
                self.rationale = gr.HTML()
        self.next = [self.headline, self.bars, self.table]
        self.ahead = [self.forecast_words, self.chart, self.years]
        self.why = [self.reasons, self.rationale]
        self.all = [*self.next, *self.ahead, *self.why]

    @staticmethod
    def nothing() -> tuple[Any, ...]:
        hidden, said = gr.update(visible=False), "Press **Predict** to see this."
        return said, hidden, hidden, said, "", hidden, said, ""

    def connect(self, career: gr.State) -> None:
        settings: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "model", "show_progress": "hidden"}
        ahead = [career, self.horizon, self.samples]
        first = self.predict.click(kindly(self._next), career, self.next, **settings)
        first.success(kindly(self._ahead), ahead, self.ahead, **settings)
        first.success(self._why, career, self.why, **settings)
        self.again.click(kindly(self._ahead), ahead, self.ahead, **settings)

    def _next(self, own: Career) -> Any:
        found = self.predictor.next_year(own)
        moves = self.predictor.moves(own, found)
        stays = self.predictor.names[own["occupation"][-1]]
        stay = found["stay_probability"]
        said = f"### {found['year']}: {stay:.1%} to stay in {stays}"
        table = pd.DataFrame(
            {
                "move to": moves["name"],
                "probability": moves["probability"].map("{:.1%}".format),
                "given a move": moves["if_moving"].map("{:.1%}".format),
            }
        )
        bars = {f"{stays} (stay)": stay, **dict(zip(moves["name"], moves["probability"], strict=True))}
        return said, gr.Label(bars, visible=True), gr.Dataframe(table, visible=True)

    def _ahead(self, own: Career, horizon: float, samples: float) -> Any:
        found = self.predictor.forecast(own, int(horizon), int(samples))
        likeliest = found.top(3)
        likeliest["occupation"] = likeliest["occupation"].astype(str).map(self.predictor.names)
        likeliest["p"] = likeliest["occupation"] + likeliest["probability"].map(" {:.0%}".format)
        table = pd.DataFrame(
            [[year, *rows["p"]] for year, rows in likeliest.groupby("year")],
            columns=["year", "likeliest", "second", "third"][: 1 + min(3, len(found.occupations))],
        )
        placed = found.attrs["years_placed_at"]
        said = f"Chances of each occupation in each year, averaged over {found.attrs['samples']} sampled trajectories."
        if found.attrs["carried_forward"]:
            said += " Covariates keep their latest values."
        for known in dict.fromkeys(placed.values()):
            others = ", ".join(str(year) for year, at in placed.items() if at == known)
            said += f" Training careers have no {others}; {known} takes its place."
        figure = person_figure(found, PERSON, {name: values[-PAST_YEARS:] for name, values in own.items()})
        # Smaller with the same text, which is then larger on the page.
        figure.set_size_inches(figure.get_size_inches() * [0.75, 0.85])
        return (
            said,
            _picture(figure, "The forecast; the table below has its numbers"),
            gr.Dataframe(table, visible=True),
        )

    def _why(self, own: Career) -> Any:
        try:
            found, shown, said = self.predictor.rationale(own)
        except ValueError as error:
            return str(error), ""
        note = self.predictor.job_dropout_note
        picture = _picture(
            rationale_figure(found, shown), "The career and its rationale; the text above says the same"
        )
        return "\n\n".join(filter(None, [said, note])), picture


def _api(predictor: CareerPredictor) -> None:
    """The one endpoint for programs; its bounds are those of the page."""

    @kindly
    def predict(career: dict, horizon: int = 1, samples: int = 200, top_k: int = 5) -> dict:
        """The next year of a career (exact), and a forecast where the horizon is more than one year.

        `career` is {"year": [...], "occupation": [...], and the model's covariates}.
        """
        if not isinstance(top_k, int) or top_k < 1:
            raise ValueError("top_k is a whole number, 1 or more")
        found = {"next": predictor.next_year(career, top_k)}
        if horizon != 1:
            years = predictor.forecast(career, horizon, samples).top(top_k).drop(columns="person")
            found["forecast"] = years.astype({"occupation": str}).to_dict("records")
        return found

    gr.api(predict, api_name="predict", concurrency_id="model")


def _introduction(predictor: CareerPredictor, checkpoint: str) -> str:
    name = os.path.basename(os.path.normpath(checkpoint)) if os.path.isdir(checkpoint) else checkpoint
    return (
        "# The next years of a career\n"
        f"Enter somebody's occupations year by year; `{name}`, a model of {len(predictor.occupations)} occupations, "
        "says how likely they are to stay, where they would move, and which earlier years that rests on. It repeats "
        "how careers in its training data went on, and is no advice about a person; decide nothing about anybody with "
        "it. What you enter is not saved."
    )


def _described(predictor: CareerPredictor, own: Career) -> str:
    """First and last occupation, and whether others lie between."""
    spells = [label for i, label in enumerate(own["occupation"]) if i == 0 or label != own["occupation"][i - 1]]
    names = [shorten(predictor.names[label], LONGEST_NAME, placeholder="…") for label in spells]
    return names[0] if len(names) == 1 else f"{names[0]} {'→ … →' if len(names) > 2 else '→'} {names[-1]}"


def _picture(figure: Figure, alt: str) -> str:
    """A figure at a size at which its text can be read, which may be wider than the page."""
    png = BytesIO()
    figure.savefig(png, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.05)
    data = png.getvalue()
    inches = int.from_bytes(data[16:20], "big") / DPI  # a PNG's width in pixels stands there
    size = f"width: 100%; min-width: {inches * SMALLEST:.1f}rem; max-width: {inches * LARGEST:.1f}rem"
    image = f'<img alt="{html.escape(alt)}" style="{size}" src="data:image/png;base64,{b64encode(data).decode()}">'
    return f'<div class="figure" tabindex="0" role="group" aria-label="Figure">{image}</div>'


def _words(name: str) -> str:
    return name.replace("_", " ")


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a checkpoint as a page.")
    parser.add_argument(
        "checkpoint",
        nargs="?",
        default=os.environ.get(CHECKPOINT) or SMALL,
        help=f"folder, Hub id or name of an occupation model; {CHECKPOINT} or else {SMALL} if none is given",
    )
    parser.add_argument(
        "--api",
        action="store_true",
        default=os.environ.get(OPEN_API, "") == "1",
        help=f"let programs ask, too; also with {OPEN_API}=1",
    )
    arguments = parser.parse_args()
    predictor = CareerPredictor(arguments.checkpoint)
    # gradio reads GRADIO_SERVER_NAME and GRADIO_SERVER_PORT; without them it serves this machine alone.
    build(predictor, arguments.checkpoint, arguments.api).launch(**launch_settings(arguments.api))


if __name__ == "__main__":
    main()
