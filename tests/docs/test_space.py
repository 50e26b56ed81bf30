"""The Space: what it says is what the package says, whatever is sent to it is bounded, and a person can use it."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
import urllib.error
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from forecast_examples import model_and_processor
from transformers import pipeline

from career_hf.careers import from_frame
from career_hf.forecasting.forecast import forecast


pytest.importorskip("gradio", reason="the Space needs gradio: pip install 'career_hf[space]'")
SPACE = Path(__file__).resolve().parents[2] / "examples" / "space"
sys.path.insert(0, str(SPACE))

import app as space  # noqa: E402
import predictions  # noqa: E402
from example_careers import example_careers  # noqa: E402
from limits import MOST_BYTES  # noqa: E402
from predictions import MOST_AHEAD, MOST_SAMPLES, MOST_YEARS, CareerPredictor  # noqa: E402


CAREER = {
    "year": [1980, 1981, 1982],
    "occupation": ["cook", "cook", "nurse"],
    "education": ["10", "11", "11"],
    "race": ["a", "a", "a"],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Checkpoints of a CAREER, and of rivals with and without covariates."""
    made = {}
    for name in ("career", "bag-of-jobs", "markov-1"):
        made[name] = tmp_path_factory.mktemp(name)
        for part in model_and_processor(name):
            part.save_pretrained(made[name])
    return made


@pytest.fixture(scope="module")
def predictor(folders):
    return CareerPredictor(str(folders["career"]))


def whole_distribution(predictor, career, year):
    """The model's own probabilities of the year after a career, from one forward pass."""
    following = {name: [*values, year if name == "year" else values[-1]] for name, values in career.items()}
    return predictor.model(**predictor.processor(following)).logits[0, -1].softmax(-1).detach().double().numpy()


def test_the_next_year_is_the_models_own_distribution(predictor):
    p = whole_distribution(predictor, CAREER, 1983)
    found = predictor.next_year(CAREER)
    nurse = predictor.processor.occupations.index("nurse")
    assert (found["year"], len(found["occupations"])) == (1983, 4)
    assert found["stay_probability"] == pytest.approx(p[nurse], rel=1e-5)
    moves = predictor.moves(CAREER, found)
    others = [predictor.processor.occupations.index(label) for label in moves["occupation"]]
    assert sorted(moves["occupation"]) == ["cook", "driver", "waiter"]
    assert moves["probability"].to_numpy() == pytest.approx(np.sort(p[others])[::-1], rel=1e-5)
    assert moves["if_moving"].to_numpy() == pytest.approx(moves["probability"] / (1 - p[nurse]), rel=1e-4)


def test_the_forecast_is_the_packages(predictor):
    careers = from_frame({"person": [predictions.PERSON] * 3, **CAREER}, covariates=["education", "race"])
    expected = forecast(predictor.model, careers, predictor.processor, horizon=3, samples=40)
    found = predictor.forecast(CAREER, 3, 40)
    assert np.array_equal(found.probability, expected.probability)
    assert found.years.tolist() == [[1983, 1984, 1985]]


def test_a_rationale_explains_the_likeliest_move_of_the_coming_year(predictor):
    found, shown, said = predictor.rationale(CAREER)
    likeliest = predictor.moves(CAREER, predictor.next_year(CAREER)).iloc[0]
    last = found.iloc[-1]
    assert (last["year"], last["target"], last["step"]) == (1983, likeliest["occupation"], 3)
    assert last["whole_probability"] == pytest.approx(likeliest["if_moving"], rel=1e-4)
    assert last["complete"] and shown["year"] == [1980, 1981, 1982, 1983]
    assert f"{likeliest['if_moving']:.0%}" in said and "1982 (nurse)" in said


def test_a_rationale_before_an_untrained_year_explains_the_last_year(predictor):
    last = predictor.trained_years[-1]
    late = {**CAREER, "year": [last - 2, last - 1, last]}
    found, shown, said = predictor.rationale(late)
    assert set(found["year"]) == {last} and shown["year"][-1] == last
    assert said.startswith(f"The model was not trained on {last + 1}")
    with pytest.raises(ValueError, match="one year is too few"):
        predictor.rationale({name: values[-1:] for name, values in late.items()})


def test_what_is_said_of_job_dropout_follows_the_record(predictor, monkeypatch):
    assert "not recorded" in predictor.job_dropout_note
    for drawn, said in [(0.0, "This model was not"), (0.5, "")]:
        stages = [{**predictor.processor.training_stages[0], "run": {"settings": {"job_dropout": drawn}}}]
        monkeypatch.setattr(predictor.processor, "training_stages", stages)
        assert predictor.job_dropout_note.lstrip("*").startswith(said) and bool(said) == bool(
            predictor.job_dropout_note
        )


@pytest.mark.parametrize("name", ["bag-of-jobs", "markov-1"])
def test_rivals_predict_too_and_say_why_they_have_no_rationale(folders, name):
    rival = CareerPredictor(str(folders[name]))
    career = example_careers(rival)[0]
    predict = pipeline("occupation-prediction", model=str(folders[name]), device="cpu")
    assert rival.next_year(career, 2) == {**predict(career, top_k=2), "person": predictions.PERSON}
    assert rival.forecast(career, 2, 10).probability.shape[1] == 2
    with pytest.raises(ValueError, match="no CAREER"):
        rival.rationale(career)


def test_examples_are_careers_that_the_model_knows(predictor):
    examples = example_careers(predictor)
    assert [own["occupation"][0] for own in examples] == predictor.occupations
    for own in examples:
        assert set(own["year"]) <= set(predictor.trained_years)
        predictor.processor.encode(predictor.check(own))
    assert {own["race"][0] for own in examples} == {"a", "b"}


def test_years_are_put_in_their_place_or_replaced(predictor):
    career = predictor.empty()
    for year, occupation in [(1982, "cook"), (1980, "nurse"), (1982, "driver")]:
        before = {name: list(values) for name, values in career.items()}
        added = predictor.add_year(career, year, occupation, ["10", "b"])
        assert career == before
        career = added
    expected = {"year": [1980, 1982], "occupation": ["nurse", "driver"], "education": ["10"] * 2, "race": ["b"] * 2}
    assert career == expected
    assert predictor.remove_year(career, 1980)["occupation"] == ["driver"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"year": [], "occupation": [], "education": [], "race": []}, "empty"),
        ({"year": [1981, 1980, 1982]}, "does not increase"),
        ({"year": [1980, "x", 1982]}, "'x' is not a whole number"),
        ({"year": [1980, float("nan"), 1982]}, "not a whole number"),
        ({"year": [1980, 1981, 10**30]}, "not a whole number"),
        ({"year": [1980, 1981, 1999]}, "1999 is none of the years that the model was trained on, 1980 to 198"),
        ({"occupation": ["cook", "cook", "pilot"]}, "'pilot' is not among the 4 known"),
        ({"occupation": ["cook", None, "cook"]}, "no occupation"),
        ({"occupation": ["cook", "cook"]}, "give one per year"),
        ({"education": ["10", "11", "x" * 300]}, "at most 200 characters"),
        ({"education": ["10", "11", ["11"]]}, "not text"),
        ({"education": ["10", "11", "99"]}, "'99' of covariate 'education'"),
        ({"secret": ["/etc/passwd"]}, "'secret', which the model does not know"),
        ({"year": [1980] * (MOST_YEARS + 1)}, "at most 60 years"),
    ],
)
def test_bad_careers_are_refused_in_words(predictor, change, message):
    with pytest.raises(ValueError, match=message):
        predictor.next_year(CAREER | change)


@pytest.mark.parametrize(
    "settings", [(0, 50), (MOST_AHEAD + 1, 50), (2, 1), (2, MOST_SAMPLES + 1), ("3", 50), (2, 1e9)]
)
def test_forecasts_are_bounded(predictor, settings):
    with pytest.raises(ValueError, match="give a whole number from"):
        predictor.forecast(CAREER, *settings)


def test_a_missing_level_is_refused_where_training_saw_none(predictor):
    with pytest.raises(ValueError, match="never saw it missing"):
        predictor.add_year(predictor.empty(), 1980, "cook", [None, "a"])


def test_importing_the_app_loads_no_model(monkeypatch):
    def refuse(*args):
        raise AssertionError("a model was loaded at import")

    monkeypatch.setattr(CareerPredictor, "__init__", refuse)
    assert "build" in runpy.run_path(str(SPACE / "app.py"), run_name="imported")


def test_without_a_checkpoint_the_app_starts_with_the_model_that_ships(monkeypatch):
    pages = []
    monkeypatch.setattr(space.gr.Blocks, "launch", lambda page, **settings: pages.append(page))
    monkeypatch.delenv(space.CHECKPOINT, raising=False)
    monkeypatch.setattr(sys, "argv", ["app.py"])
    space.main()
    texts = [str(block.value) for block in pages[0].blocks.values() if isinstance(block, space.gr.Markdown)]
    assert any("occ1990dd-small" in text and "333 occupations" in text for text in texts)


@pytest.fixture(scope="module")
def server(predictor, folders):
    """The page as `main` serves it."""
    page = space.build(predictor, str(folders["career"]))
    page.launch(**space.launch_settings(), prevent_thread_lock=True, quiet=True)
    yield page
    page.close()


@pytest.fixture(scope="module")
def open_server(predictor, folders):
    """The page as `main --api` serves it."""
    page = space.build(predictor, str(folders["career"]), api=True)
    page.launch(**space.launch_settings(api=True), prevent_thread_lock=True, quiet=True)
    yield page
    page.close()


def answer(request):
    """Status and text of an HTTP answer."""
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_page_is_served_to_this_machine_alone(server):
    assert server.server.config.host == "127.0.0.1"
    config = json.loads(answer(server.local_url + "config")[1])
    assert config["analytics_enabled"] is False
    assert server.share_url is None and config["footer_links"] == []


CLOSED = [
    *("openapi.json", "docs", "redoc", "monitoring", "monitoring/summary", "user", "token", "app_id", "runs"),
    *("gradio_api/openapi.json", "gradio_api/info", "gradio_api/info/", "gradio_api/run-history/records"),
    *("gradio_api/proxy=https://example.org", "gradio_api/stream/a/b/c/playlist.m3u8", "gradio_api/deep_link"),
    *(
        "gradio_api/heartbeat/a/../../info",
        "gradio_api/call/predict",
        "gradio_api/api/predict",
        "gradio_api/vibe-code",
    ),
    *("gradio_api/call/predict/1", "gradio_api/upload_progress", "gradio_api/custom_component/a/b/c/d", "login"),
]


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_but_the_page_is_there(server, path):
    assert answer(server.local_url + path) == (404, "There is nothing here.")


@pytest.mark.parametrize("path", ["call/predict", "call/v2/predict", "run/predict", "api/predict", "vibe-edit"])
def test_programs_may_not_ask_unless_the_server_says_so(server, path):
    body = json.dumps({"data": [CAREER, 1, 20, 3]}).encode()
    request = urllib.request.Request(f"{server.local_url}gradio_api/{path}", data=body, method="POST")
    assert answer(request)[0] == 404


def asked_from(server, origin, host=None, **headers):
    """Status of a request to the queue as a page of some origin makes it."""
    headers = {"Content-Type": "application/json", **({} if origin is None else {"Origin": origin}), **headers}
    headers |= {} if host is None else {"Host": host}
    url = f"{server.local_url}gradio_api/queue/join"
    return answer(urllib.request.Request(url, data=b"{}", headers=headers))[0]


@pytest.mark.parametrize("served", ["server", "open_server"])
def test_other_pages_may_not_ask(served, request):
    served = request.getfixturevalue(served)
    own = served.local_url.rstrip("/")
    # What is asked is no event, which is said by gradio itself.
    assert asked_from(served, own) == asked_from(served, None) == 422
    port = own.rsplit(":", 1)[1]
    others = ["https://example.org", "null", "http://127.0.0.1:1", f"http://localhost:{port}", f"{own}.example.org"]
    for origin in others:
        assert asked_from(served, origin) == 403
        config = urllib.request.Request(served.local_url + "config", headers={"Origin": origin})
        assert answer(config)[0] == 403
    assert asked_from(served, None, **{"Sec-Fetch-Site": "cross-site"}) == 403
    # A name of somebody else's that leads to this machine.
    assert asked_from(served, f"http://example.org:{port}", host=f"example.org:{port}") == 421
    assert asked_from(served, None, host=f"localhost:{port}") == 422


def test_the_api_is_opened_by_an_argument_or_a_variable(monkeypatch, folders):
    asked = []
    monkeypatch.setattr(space.gr.Blocks, "launch", lambda page, **settings: asked.append((page, settings)))
    for argv, variable in [([], ""), (["--api"], ""), ([], "1")]:
        monkeypatch.setenv(space.OPEN_API, variable)
        monkeypatch.setattr(sys, "argv", ["app.py", str(folders["markov-1"]), *argv])
        space.main()
    named = [any(f.api_name == "predict" for f in page.fns.values()) for page, _ in asked]
    assert named == [False, True, True]
    assert [settings["footer_links"] for _, settings in asked] == [[], ["api"], ["api"]]
    assert all(settings["share"] is False for _, settings in asked)


def test_uploads_files_and_large_requests_are_refused(server, tmp_path):
    url = server.local_url + "gradio_api/"
    assert answer(urllib.request.Request(url + "upload", data=b"x", method="POST"))[0] == 404
    assert answer(urllib.request.Request(url + "queue/join", data=b"x" * (MOST_BYTES + 1), method="POST"))[0] == 413
    unsized = urllib.request.Request(url + "queue/join", data=iter([b"x" * MOST_BYTES, b"x"]), method="POST")
    assert answer(unsized)[0] == 413
    secret = tmp_path / "secret.txt"
    secret.write_text("what nobody may read")
    for path in (secret, SPACE / "app.py"):
        status, text = answer(f"{url}file={path}")
        assert status in (403, 404) and "nobody" not in text and "import" not in text


def test_programs_get_the_pipelines_answer_and_kind_errors(open_server, predictor):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(open_server.local_url, verbose=False)
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/predict"]
    found = client.predict(CAREER, 2, 20, 3, api_name="/predict")
    assert found["next"] == predictor.next_year(CAREER, 3)
    first = found["forecast"][0]
    assert first["probability"] == pytest.approx(found["next"]["occupations"][0]["probability"])
    for bad in ((CAREER | {"occupation": ["cook", "cook", "<b>"]}, 1, 20, 3), (CAREER, 2, 10**6, 3), ([], 1, 20, 3)):
        with pytest.raises(AppError) as error:
            client.predict(*bad, api_name="/predict")
        assert any(
            words in str(error.value) for words in ("&lt;b&gt;", "give a whole number", "a career is a mapping")
        )


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture
def page(server, tmp_path):
    """The page in a real browser; every request that leaves this machine is a failure."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install 'career_hf[browser]'"
    )
    if CHROMIUM is None:
        pytest.skip("needs Chromium: there is no program `chromium`")
    with playwright.sync_playwright() as starter:
        browser = starter.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, args=FLAGS, viewport={"width": 1280, "height": 900}
        )
        opened = browser.new_page()
        asked: list[str] = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.set_default_timeout(30_000)
        playwright.expect.set_options(timeout=30_000)
        opened.goto(server.local_url)
        yield opened
        browser.close()
    outside = [url for url in asked if not url.startswith((server.local_url, "data:", "blob:"))]
    assert not outside


def test_a_person_clicks_through(page, predictor):
    from playwright.sync_api import expect

    example = example_careers(predictor)[0]
    page.get_by_role("button", name="→").first.click()
    expect(page.get_by_text("In all years:")).to_be_visible()
    year = page.get_by_label("Year", exact=False).first
    following = example["year"][-1] + 1
    expect(year).to_have_value(str(following))

    if following in predictor.trained_years:
        page.get_by_role("button", name="Add year").click()
        expect(year).to_have_value(str(following + 1))
        example = predictor.add_year(
            example, following, example["occupation"][-1], [example["education"][-1], example["race"][-1]]
        )
    page.get_by_role("button", name="Predict").click()
    found = predictor.next_year(example)
    expect(page.get_by_text(f"{found['stay_probability']:.1%} to stay in")).to_be_visible()
    for _, move in predictor.moves(example, found).iterrows():
        expect(page.get_by_role("gridcell", name=f"{move['probability']:.1%}", exact=True).first).to_be_visible()
        expect(page.get_by_role("gridcell", name=f"{move['if_moving']:.1%}", exact=True).first).to_be_visible()

    page.get_by_role("tab", name="Forecast").click()
    expect(page.get_by_alt_text("The forecast")).to_be_visible()
    page.get_by_role("tab", name="Rationale").click()
    expect(page.get_by_alt_text("The career and its rationale")).to_be_visible()
    expect(page.get_by_text("not recorded whether this model was trained with job dropout")).to_be_visible()

    year.fill("1700")
    page.get_by_role("button", name="Add year").click()
    message = page.get_by_test_id("toast-body")
    expect(message).to_contain_text("1700 is none of the years that the model was trained on")
    assert "Traceback" not in page.content()
    # What was there is still there.
    expect(page.get_by_alt_text("The career and its rationale")).to_be_visible()


def test_the_keyboard_is_enough(page, predictor):
    from playwright.sync_api import expect

    # Before the page predicts: it and the test share a model, which a forecast changes for its time.
    example = example_careers(predictor)[0]

    def tab_to(label):
        """Presses Tab until the element that is focused is called so."""
        for _ in range(40):
            page.keyboard.press("Tab")
            name = page.evaluate(
                "() => { const e = document.activeElement; return e.getAttribute('aria-label') || "
                "(e.tagName == 'BUTTON' ? e.innerText : '') }"
            )
            if name.startswith(label):
                return
        raise AssertionError(f"40 presses of Tab do not lead to '{label}'")

    expect(page.get_by_role("button", name="Predict")).to_be_visible()
    tab_to("Year")
    page.keyboard.press("Control+A")
    page.keyboard.type("1981")
    tab_to("Occupation")
    page.keyboard.press("Control+A")
    page.keyboard.type("driver")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    tab_to("Add year")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Year", exact=False).first).to_have_value("1982")
    tab_to("Predict")
    page.keyboard.press("Enter")
    career = predictor.add_year(predictor.empty(), 1981, "driver", [example["education"][0], example["race"][0]])
    stay = predictor.next_year(career)["stay_probability"]
    expect(page.get_by_text(f"1982: {stay:.1%} to stay in driver")).to_be_visible()


def test_an_empty_career_is_answered_kindly(page):
    from playwright.sync_api import expect

    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("the career is empty")


def test_another_site_cannot_ask_from_the_visitors_browser(page, server, tmp_path):
    """A page of another origin sends what a browser lets it send, and is refused."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<p>another site</p>")
    handler = partial(QuietFiles, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        opened = page.context.new_page()
        opened.goto(f"http://localhost:{other.server_port}/index.html")
        statuses = []
        opened.on("response", lambda response: statuses.append(response.status))
        opened.evaluate(
            """async url => {
                for (const mode of ["cors", "no-cors"])
                    await fetch(url, {method: "POST", mode, body: "{}"}).catch(() => null);
            }""",
            server.local_url + "gradio_api/queue/join",
        )
        other.shutdown()
    assert statuses == [403, 403]
