"""Part (d): what choosing rows costs, beside scikit-activeml where it is installed (it is no dependency)."""

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from heritage.labelling.pool import Pool
from heritage.labelling.strategies import select

_LABELLED, _WANTED, _RUNS = 100, 100, 5


def bench_peers(_: argparse.Namespace) -> None:
    """CPU seconds for 100 of 1,697 digits, given a model of 100 labels: median of five runs of ours, one of theirs."""
    x, y = load_digits(return_X_y=True)
    x = x / 16.0
    model = LogisticRegression(max_iter=1000).fit(x[:_LABELLED], y[:_LABELLED])
    pool = Pool(model.predict_proba(x[_LABELLED:]), x[_LABELLED:], None, x[:_LABELLED])
    theirs = _peers(model, x, y)
    print(f"choosing {_WANTED} of {len(pool)} rows, 64 features, 10 classes; CPU seconds")
    print(f"{'strategy':10s}{'ours':>10s}{'scikit-activeml':>18s}{'ratio':>9s}")
    for name in ("badge", "coreset"):
        ours = median(
            _cpu(lambda name=name: select(name, pool, _WANTED, np.random.default_rng(0))) for _ in range(_RUNS)
        )
        peer = _cpu(theirs[name]) if theirs else float("nan")
        print(f"{name:10s}{ours:10.4f}{peer:18.3f}{peer / ours:9.0f}")
    if not theirs:
        print("scikit-activeml is not installed here: pip install scikit-activeml, in an environment of its own")


def _peers(model: LogisticRegression, x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    try:
        from skactiveml.classifier import SklearnClassifier
        from skactiveml.pool import Badge, CoreSet
    except ImportError:
        return {}
    known = np.where(np.arange(len(y)) < _LABELLED, y.astype(float), np.nan)
    wrapped = SklearnClassifier(model, classes=np.arange(10)).fit(x, known)
    return {
        "badge": lambda: Badge(random_state=0).query(x, known, wrapped, fit_clf=False, batch_size=_WANTED),
        "coreset": lambda: CoreSet(random_state=0).query(x, known, batch_size=_WANTED),
    }


def _cpu(job: Callable[[], object]) -> float:
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their parts that are deprecated
        job()
    return time.process_time() - started
