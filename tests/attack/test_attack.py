"""A sample of the attacks on commands and functions: no traceback, no hang, and nothing accepted that should not be.

`python tests/attack` runs all of them.
"""

from __future__ import annotations

import random

import pytest
from attacks import BASES, REFUSED_BASES, Attack, all_attacks, as_line, base, commands
from functions import function_attacks, judge_function, unfilled
from huggingface_hub import constants
from scene import make_scene
from verdicts import ACCEPTED, CAUGHT, FAILURES, REFUSED, SILENT, TRACEBACK, as_text, judge


SAMPLE = 15


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(autouse=True)
def no_hub_and_no_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_every_command_and_function_is_attacked(scene):
    """A new command needs its line in `BASES`, a new required argument of a function one in `fillers` or `OWN`."""
    assert set(BASES) == set(commands()) and unfilled(scene) == []
    attacks = all_attacks(scene)
    assert {attack.target for attack in attacks} == set(BASES)
    named = {(attack.target, attack.option) for attack in attacks}
    for path, command in commands().items():
        options = {parameter.name for parameter in command.params if not getattr(parameter, "is_flag", False)}
        assert {(path, option) for option in options} <= named
    assert len(attacks) + len(list(function_attacks(scene))) > 5_000


@pytest.mark.parametrize(
    "path",
    ["audit", "describe", "displacement", "evaluate", "exposure", "prepare spells", "rake", "similar", "transitions"],
)
def test_without_an_attack_a_command_works(scene, path):
    """Otherwise an attack would be refused for another reason than its own."""
    assert path not in REFUSED_BASES

    def unharmed(scene, scratch):
        return as_line(commands()[path], path, base(commands()[path], path, scene, scratch))

    verdict = judge(Attack(path, "nothing", unharmed, wrong=False), scene)
    assert verdict.verdict == ACCEPTED, as_text(verdict)


def test_verdicts_tell_classes_apart(scene):
    def line(*arguments):
        return lambda scene, scratch: [argument.format(careers=scene.careers) for argument in arguments]

    def judged(*arguments, wrong=True):
        return judge(Attack("describe", "a case", line(*arguments), wrong=wrong), scene).verdict

    assert judged("describe", "no_such_folder") == REFUSED
    assert judged("describe", "{careers}") == SILENT and judged("describe", "{careers}", wrong=False) == ACCEPTED
    assert judged("describe", "no_such_folder", "--traceback") == TRACEBACK
    assert judge(Attack("x", "too long", line("describe", "{careers}")), scene, seconds=1e-3).verdict == "hang"


@pytest.mark.parametrize("seed", [0])
def test_a_sample_of_attacks(scene, seed):
    draw = random.Random(seed)
    cheap = [attack for attack in all_attacks(scene) if attack.target not in ("quickstart", "export", "compare")]
    verdicts = [judge(attack, scene, 120) for attack in draw.sample(cheap, SAMPLE)]
    calls = [attack for attack in function_attacks(scene) if attack.target not in ("quickstart", "compare")]
    verdicts += [judge_function(attack, scene, 120) for attack in draw.sample(calls, SAMPLE)]
    assert [as_text(verdict) for verdict in verdicts if verdict.verdict in FAILURES] == []
    # The sample attacks: most of it is refused by the package's own words.
    kinds = [verdict.verdict for verdict in verdicts]
    assert kinds.count(REFUSED) > SAMPLE and kinds.count(CAUGHT) < SAMPLE
