"""`python tests/attack`: attacks every command and public function with malformed inputs; prints what became of each.

    python tests/attack --number 3000 --seed 0 --report attack.txt

The exit code is 1 if anything ended in a traceback, hung, or was accepted although a reader would call it wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
from pathlib import Path


# The Hub is not asked, and nothing is downloaded.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
GIGABYTE = 1 << 30


def main() -> int:
    """Attacks, prints and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python tests/attack", description=__doc__)
    parser.add_argument("--number", type=int, help="number of attacks, drawn at random; all of them if left out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--only", default="", help="text in the name of the commands or functions to attack")
    parser.add_argument("--seconds", type=float, default=60, help="time of an attack, after which it hangs")
    parser.add_argument(
        "--part", default="0/1", help="which part of the attacks, such as 0/2 and 1/2 for two processes"
    )
    parser.add_argument("--report", type=Path, help="file for one line on every attack")
    chosen = parser.parse_args()
    # What asks for a terabyte gets a MemoryError, and not the end of the process.
    resource.setrlimit(resource.RLIMIT_AS, (24 * GIGABYTE, 24 * GIGABYTE))
    import torch
    from attacks import all_attacks
    from functions import function_attacks, judge_function
    from scene import make_scene
    from verdicts import CLASSES, FAILURES, as_text, judge, say, table_of

    torch.set_num_threads(1)
    part, parts = map(int, chosen.part.split("/"))
    with tempfile.TemporaryDirectory() as folder:
        # Nothing that an attack writes to "~" comes here.
        os.environ["HOME"] = folder
        (Path(folder) / "scene").mkdir()
        scene = make_scene(Path(folder) / "scene")
        attacks = [(attack, judge) for attack in all_attacks(scene)]
        attacks += [(attack, judge_function) for attack in function_attacks(scene)]
        attacks = [pair for pair in attacks if chosen.only in pair[0].target]
        random.Random(chosen.seed).shuffle(attacks)
        attacks = attacks[: chosen.number][part::parts]
        verdicts = []
        for number, (attack, judged) in enumerate(attacks, 1):
            verdicts.append(judged(attack, scene, chosen.seconds))
            if chosen.report:
                with chosen.report.open("a") as report:
                    report.write(as_text(verdicts[-1]) + "\n")
            if number % 200 == 0:
                say(f"{number:,} of {len(attacks):,}")
    failed = [verdict for verdict in verdicts if verdict.verdict in FAILURES]
    say(table_of(verdicts))
    for verdict in sorted(failed, key=lambda failure: CLASSES.index(failure.verdict)):
        say(as_text(verdict))
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
