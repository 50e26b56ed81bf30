"""Publishing on a Hub of this machine: one commit or none, and what is downloaded is what was trained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub import HfApi, ModelCard, constants
from local_hub import local_hub
from typer.testing import CliRunner

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor, publish
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.careers.provenance import SOURCES, UNKNOWN_SOURCE, years_of
from career_hf.cli.app import app
from career_hf.models.checksums import record_checksums
from career_hf.sharing.model_card import write_model_card
from career_hf.sharing.publishing import licence_problems
from career_hf.sharing.remote_code import save_with_code


@pytest.fixture
def hub(monkeypatch):
    """A Hub on loopback; huggingface_hub's client does not wait between its attempts, and finds no other server."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    with local_hub() as running:
        yield running


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.url, token="hf_of_this_machine")


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    rows = [
        {
            "person": f"p{p}",
            "year": 1990 + t,
            "occupation": rng.choice(["cook", "nurse", "pilot"], p=[0.6, 0.39, 0.01]),
        }
        | {"gender": ["f", "m"][p % 2]}
        for p in range(60)
        for t in range(4)
    ]
    return split_careers(from_frame(pd.DataFrame(rows), static=["gender"]))


@pytest.fixture
def checkpoint(tmp_path, splits):
    """A folder as training leaves it, with what must not be uploaded."""
    return make_checkpoint(tmp_path / "mine", splits, SOURCES["simulated"].record | years_of(splits["train"]))


def scores_of_a_fresh_process(code, hub, folder):
    """What code leaves in the file that is its first argument, where nothing but the Hub's address is known."""
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", code, str(folder / "scores")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return torch.load(folder / "scores", weights_only=True)


def make_checkpoint(folder, splits, *sources):
    processor = CareerProcessor.fit(splits["train"], ["year", "gender"], unknown_occupation="unknown")
    for stage, source in zip(["pretraining", "finetuning"], sources, strict=False):
        processor.record_training(processor.encode(splits["train"])[0], stage, source)
    torch.manual_seed(0)
    CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), hidden_size=16)).save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "training" / "checkpoint-8").mkdir(parents=True)
    (folder / "training" / "checkpoint-8" / "optimizer.pt").write_bytes(b"pickle")
    for name in ("pytorch_model.bin", "training_args.bin", "weights.pth", "careers.parquet", "evil.py"):
        (folder / name).write_bytes(b"not for others")
    return folder


def test_what_was_pushed_is_downloaded_in_one_commit_and_scores_equally(hub, api, checkpoint, splits, tmp_path):
    before = sorted(path.name for path in checkpoint.iterdir())
    done = publish(checkpoint, "me/careers", api=api)
    commits = hub.repos["me/careers"]
    assert len(commits) == 2 and hub.private["me/careers"]  # the first is the empty repository
    assert done.commit == f"{hub.url}/me/careers/commit/{1:040x}"
    expected = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
    assert expected <= set(commits[-1]) <= expected | {".gitattributes", "checksums.json", "generation_config.json"}
    assert set(done.files["file"]) == set(commits[-1]) - {".gitattributes"}
    assert commits[-1]["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()
    assert set(done.left_out["file"]) >= {"training", "pytorch_model.bin", "evil.py", "careers.parquet"}
    assert sorted(path.name for path in checkpoint.iterdir()) == before

    # A fresh process, with nothing but the address.
    code = (
        "import sys, torch; from career_hf import CareerForOccupationPrediction as M, CareerProcessor as P\n"
        "m, p = M.from_pretrained('me/careers'), P.from_pretrained('me/careers')\n"
        "career = {'year': [1990, 1991], 'occupation': ['cook', 'nurse'], 'gender': 'f'}\n"
        "torch.save(m(**p(career)).logits.detach(), sys.argv[1])"
    )
    scores = scores_of_a_fresh_process(code, hub, tmp_path)
    model, processor = (c.from_pretrained(checkpoint) for c in (CareerForOccupationPrediction, CareerProcessor))
    local_logits = model(**processor({"year": [1990, 1991], "occupation": ["cook", "nurse"], "gender": "f"})).logits
    assert torch.equal(scores, local_logits)


def test_code_goes_along_only_where_it_is_the_packages_own(api, checkpoint):
    save_with_code(CareerForOccupationPrediction.from_pretrained(checkpoint), checkpoint)
    sent = set(publish(checkpoint, "me/careers", api=api, dry_run=True).files["file"])
    assert {"modeling_career.py", "configuration_career.py", "two_stage.py"} <= sent and "evil.py" not in sent
    with (checkpoint / "two_stage.py").open("a") as file:
        file.write("import evil\n")
    with pytest.raises(ValueError, match="two_stage.py is not the code of this career_hf"):
        publish(checkpoint, "me/careers", api=api, dry_run=True)


def test_with_code_a_hub_id_loads_where_the_package_is_not_installed(hub, api, checkpoint, tmp_path):
    publish(checkpoint, "me/careers", with_code=True, api=api)
    commit = hub.repos["me/careers"][-1]
    assert commit["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()
    code = (
        "import sys; from importlib.machinery import PathFinder as F; find = F.find_spec\n"
        "F.find_spec = staticmethod(lambda name, *w: None if name.startswith('career_hf') else find(name, *w))\n"
        "import torch; from transformers import AutoModelForCausalLM as M\n"
        "m = M.from_pretrained('me/careers', trust_remote_code=True)\n"
        "ids = torch.tensor([[1, 2]]); covariates = torch.ones(1, 2, 2, dtype=torch.long)\n"
        "torch.save(m(ids, covariates).logits.detach(), sys.argv[1])"
    )
    scores = scores_of_a_fresh_process(code, hub, tmp_path)
    model = CareerForOccupationPrediction.from_pretrained(checkpoint)
    local_logits = model(torch.tensor([[1, 2]]), torch.ones(1, 2, 2, dtype=torch.long)).logits
    assert torch.equal(scores, local_logits)


@pytest.mark.parametrize("fail_at", ["drop", "commit"])
def test_an_interrupted_upload_leaves_no_commit_and_can_be_repeated(hub, api, checkpoint, fail_at):
    hub.fail_at = fail_at
    with pytest.raises(ConnectionError, match="upload to me/careers stopped.*push again"):
        publish(checkpoint, "me/careers", api=api)
    assert len(hub.repos["me/careers"]) == 1
    hub.fail_at, transferred = None, len(hub.large)
    publish(checkpoint, "me/careers", api=api)
    assert len(hub.repos["me/careers"]) == 2 and "model.safetensors" in hub.repos["me/careers"][-1]
    assert transferred == (1 if fail_at == "commit" else 0) and len(hub.large) == 1


def test_nothing_new_is_no_commit_and_stale_files_go(hub, api, checkpoint):
    publish(checkpoint, "me/careers", api=api)
    (checkpoint / "README.md").write_bytes(hub.repos["me/careers"][-1]["README.md"])
    publish(checkpoint, "me/careers", api=api)
    assert len(hub.repos["me/careers"]) == 2
    hub.repos["me/careers"].append({**hub.repos["me/careers"][-1], "model-00001-of-00002.safetensors": b"old"})
    publish(checkpoint, "me/careers", api=api)
    assert "model-00001-of-00002.safetensors" not in hub.repos["me/careers"][-1]


PSID = SOURCES["psid"].record
OWN = SOURCES["spells"].record


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([PSID], "'pretraining' was trained on 'psid'.*psid-conditions-of-use.*forbidden.*permission"),
        # Fine-tuning on free data does not wash pretraining clean.
        ([PSID, SOURCES["simulated"].record], "Stage 'pretraining' was trained on 'psid'"),
        ([SOURCES["simulated"].record, PSID], "Stage 'finetuning' was trained on 'psid'"),
        ([OWN], "'spells'.*nobody recorded whether.*README.md of their folder"),
        ([None], "'unknown' .*nobody recorded"),
        ([], "no record of what it was trained on"),
    ],
)
def test_what_may_not_be_passed_on_is_refused_before_anything_is_sent(hub, api, splits, tmp_path, sources, words):
    folder = make_checkpoint(tmp_path / "mine", splits, *sources)
    with pytest.raises(ValueError, match=f"not published.*{words}"):
        publish(folder, "me/careers", api=api)
    planned = publish(folder, "me/careers", api=api, dry_run=True)
    assert len(planned.refusals) == 1 and planned.commit is None and hub.requests == []

    write_model_card(folder)
    for no_permission in ("yes", "any three words", "permission was not asked for"):
        with pytest.raises(ValueError, match="say in words"):
            publish(folder, "me/careers", api=api, override_licence=no_permission)
    permission = "I have written permission of the Survey Research Center"
    done = publish(folder, "me/careers", api=api, override_licence=permission)
    card = ModelCard(hub.repos["me/careers"][-1]["README.md"].decode())
    assert permission in card.text and card.data.to_dict()["career_hf"]["override_licence"] == permission
    assert done.refusals == [] and done.notices[0].startswith("overridden: ")


def test_surveys_of_an_agency_are_published_with_a_notice():
    stages = [{"stage": "training", "source": SOURCES["nlsy79"].record}]
    refusals, notices = licence_problems(stages)
    assert refusals == [] and "must not be passed on" in notices[0]
    refusals, notices = licence_problems([{"stage": "training", "source": SOURCES["jobhop"].record}])
    assert refusals == [] and "name the authors" in notices[0]
    # One source, of which somebody has said at one stage only that it may be passed on.
    said = {"source": "register", "license": "contract-7", "redistribution": "allowed"}
    stages = [{"stage": "a", "source": {**said, "redistribution": "unknown"}}, {"stage": "b", "source": said}]
    assert [refusal[:9] for refusal in licence_problems(stages)[0]] == ["Stage 'a'"]
    assert len(licence_problems([{"stage": "a", "source": {**said, "redistribution": "fine"}}])[0]) == 1
    assert (
        licence_problems([{"stage": "training"}])[0]
        == licence_problems([{"stage": "training", "source": UNKNOWN_SOURCE}])[0]
    )


@pytest.mark.parametrize(
    "redistribution", ["allowed", "allowed with attribution", "from the agency", "unknown", "fine"]
)
def test_a_record_cannot_be_laxer_than_what_is_known_of_its_source(redistribution):
    edited = {**PSID, "redistribution": redistribution, "license": "mit"}
    refusals, _ = licence_problems([{"stage": "training", "source": edited}])
    assert len(refusals) == 1 and "forbidden" in refusals[0] and "psid-conditions-of-use" in refusals[0]
    # Stricter than what is known, and the word of the owner of careers of which nothing is known, hold.
    stricter = {**SOURCES["simulated"].record, "redistribution": "forbidden"}
    assert "forbidden" in licence_problems([{"stage": "training", "source": stricter}])[0][0]
    own = {**OWN, "redistribution": "allowed"}
    assert licence_problems([{"stage": "training", "source": own}]) == ([], [])


@pytest.mark.parametrize("edit", ["no checksums", "no checksum of the processor"])
def test_a_record_that_may_have_been_edited_is_not_believed(hub, api, checkpoint, edit):
    path = checkpoint / "checksums.json"
    checksums = json.loads(path.read_text())
    del checksums["preprocessor_config.json"]
    path.unlink() if edit == "no checksums" else path.write_text(json.dumps(checksums))
    with pytest.raises(
        ValueError, match="config.json was changed since it was saved, or was saved without a checksum"
    ):
        publish(checkpoint, "me/careers", api=api)
    assert hub.requests == []


def test_uploaded_counts_are_rounded_and_the_card_says_how_rare_careers_are(hub, api, checkpoint, splits, tmp_path):
    save_careers(splits, tmp_path / "careers")
    done = publish(checkpoint, "me/careers", api=api, data=tmp_path / "careers", k=5)
    uploaded = json.loads(hub.repos["me/careers"][-1]["preprocessor_config.json"])["training_stages"][0]
    local_stage = CareerProcessor.from_pretrained(checkpoint).training_stages[0]
    assert (
        all(count % 5 == 0 for count in uploaded["occupation_counts"])
        and uploaded["person_years"] == local_stage["person_years"]
    )
    assert any(count % 5 for count in local_stage["occupation_counts"])
    pilots = {p for p, o in zip(splits["train"]["person"], splits["train"]["occupation"], strict=True) if "pilot" in o}
    assert 0 < len(pilots) < 5  # the example has what it is about
    assert done.rare.loc["occupation", ["rare cells", "people in a rare cell"]].tolist() == [1, len(pilots)]
    assert done.stored.loc["1 pretraining: occupation", "of fewer than 5 people"] == 1
    text = hub.repos["me/careers"][-1]["README.md"].decode()
    assert text.count("## Publication") == 1 and "| whole career |" in text
    assert not any("not what the checkpoint has recorded" in notice for notice in done.notices)
    (checkpoint / "README.md").write_text(text, encoding="utf-8")
    publish(checkpoint, "me/careers", api=api, data=tmp_path / "careers", k=1)
    text = hub.repos["me/careers"][-1]["README.md"].decode()
    assert text.count("## Publication") == 1 and "are as they were" in text
    assert json.loads(hub.repos["me/careers"][-1]["preprocessor_config.json"])["training_stages"][0] == local_stage


def test_a_card_of_an_earlier_training_is_refused_and_an_idle_override_not_quoted(hub, api, checkpoint):
    write_model_card(checkpoint)
    done = publish(checkpoint, "me/careers", api=api, override_licence="I have written permission")
    assert "nothing had to be overridden" in done.notices[0]
    assert "permission" not in hub.repos["me/careers"][-1]["README.md"].decode()
    processor = CareerProcessor.from_pretrained(checkpoint)
    processor.training_stages[0]["source"] = SOURCES["nlsy79"].record
    processor.save_pretrained(checkpoint)
    with pytest.raises(
        ValueError, match=r"trained on \['simulated'\], but the checkpoint was trained on \['nlsy79'\]"
    ):
        publish(checkpoint, "me/careers", api=api)


def test_other_careers_than_those_trained_on_are_noticed(api, checkpoint, splits, tmp_path):
    splits = splits.__class__({**splits, "train": splits["train"].select(range(20))})
    save_careers(splits, tmp_path / "careers")
    publication = publish(checkpoint, "me/careers", api=api, data=tmp_path / "careers", dry_run=True)
    assert any("not what the checkpoint has recorded" in notice for notice in publication.notices)


def test_a_folder_whose_parts_disagree_or_do_not_load_is_refused(hub, api, checkpoint, splits, tmp_path):
    with pytest.raises(ValueError, match="no config.json"):
        publish(tmp_path, "me/careers", api=api)
    other = CareerProcessor.fit(splits["train"], ["year"], unknown_occupation="unknown")
    processor = CareerProcessor.from_pretrained(checkpoint)
    other.save_pretrained(tmp_path / "other")  # beside the model it would be refused
    shutil.copy(tmp_path / "other" / "preprocessor_config.json", checkpoint)
    record_checksums(checkpoint)
    with pytest.raises(ValueError, match="covariate_names"):
        publish(checkpoint, "me/careers", api=api)
    processor.save_pretrained(checkpoint)
    weights = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match="does not load, so it is not published"):
        publish(checkpoint, "me/careers", api=api)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="does not load"):  # pytorch_model.bin is there, and is not read
        publish(checkpoint, "me/careers", api=api)
    with pytest.raises(ValueError, match="give USER/NAME"):
        publish(checkpoint, "me/careers/too/deep", api=api)
    assert hub.requests == []


def test_the_command_shows_what_would_be_sent(hub, checkpoint, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    shown = CliRunner().invoke(app, ["push", str(checkpoint), "me/careers", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "model.safetensors" in shown.output and "pytorch_model.bin" in shown.output and hub.requests == []
    psid = CareerProcessor.from_pretrained(checkpoint)
    psid.training_stages[0]["source"] = PSID
    psid.save_pretrained(checkpoint)
    refused = CliRunner().invoke(app, ["push", str(checkpoint), "me/careers"])
    assert refused.exit_code != 0 and hub.requests == []
    planned = CliRunner().invoke(app, ["push", str(checkpoint), "me/careers", "--dry-run"])
    assert planned.exit_code == 0 and "would be refused" in planned.output


@pytest.mark.parametrize(
    "repo", ["", "careers", "a/b/c", "me/", "/careers", "me/a b", "me/-x", "me/x--y", "me/x\ny", 3]
)
def test_a_name_of_no_repository_is_refused_before_anything_is_uploaded(hub, api, checkpoint, repo):
    with pytest.raises(ValueError, match="give USER/NAME|repo is 3, a number, and must be a text") as error:
        publish(checkpoint, repo, api=api)
    assert "\n" not in str(error.value) and not hub.repos
