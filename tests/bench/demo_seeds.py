"""The demo's main job over several seeds, through the same flows as the DAGs: accuracy on rows nobody tuned on.

python tests/bench/demo_seeds.py --seeds 5
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from heritage.demo.story import Story, in_process, play
from heritage.flows.context import Context
from heritage.local.stack import Stack
from heritage.settings import settings

MODELS = ("drifted", "parent", "rollback", "repaired")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    wanted = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as folder, Stack.running(Path(folder)) as stack:
        os.environ.update(stack.environment())
        settings.cache_clear()
        ctx = Context.connect()
        stories = [
            play(ctx, in_process(ctx), seed, Path(folder) / "demo", lambda line: print(line, file=sys.stderr))
            for seed in range(wanted)
        ]
    report(stories)


def report(stories: list[Story]) -> None:
    print(f"{'seed':>4} {'rung':>12} " + " ".join(f"{m:>9}" for m in MODELS) + "   original domain: before, after")
    rows = []
    for story in stories:
        now, before = story.accuracy["all three"], story.accuracy["original domain"]
        figures = [now.get(m, now["drifted"]) for m in MODELS]
        rows.append(figures)
        cells = " ".join(f"{100 * f:9.1f}" for f in figures)
        kept = f"{100 * before['drifted']:.1f}, {100 * before.get('repaired', before['drifted']):.1f}"
        print(f"{story.seed:>4} {story.search.get('rung', '-'):>12} {cells}   {kept}")
    mean, sd = 100 * np.mean(rows, axis=0), 100 * np.std(rows, axis=0, ddof=1)
    print(f"{'mean':>17} " + " ".join(f"{m:9.1f}" for m in mean))
    print(f"{'sd':>17} " + " ".join(f"{s:9.1f}" for s in sd))
    promoted = sum(bool(s.promoted) for s in stories)
    print(f"promoted {promoted} of {len(stories)}; harmful promotions {sum(s.harmful for s in stories)}")


if __name__ == "__main__":
    main()
