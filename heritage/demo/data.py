"""The demo's data: disjoint splits of scikit-learn's digits, and what happens to a camera in the field."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.rows import Rows

NARROW = (0, 1, 2, 3)  # the classes that the site sees most
NARROW_SHARE = 0.96
# shares of the images of a class that the parts get, for the site's classes and for the others; no image is in two
_PARTS = ("train", "reference", "calm", "early", "late", "fresh")
_OF_NARROW = (0.36, 0.27, 0.15, 0.07, 0.07, 0.08)
_OF_OTHERS = (0.40, 0.04, 0.02, 0.16, 0.16, 0.22)

Images = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Digits:
    """Images (n, 1, 8, 8) in [0, 1] with labels, in disjoint parts (`train reference calm early late fresh`)."""

    parts: Mapping[str, Rows]

    @classmethod
    def load(cls, seed: int) -> "Digits":
        """The 1,797 digits shuffled under `seed` and dealt out class by class."""
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        images = (x / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
        rng = np.random.default_rng(seed)
        dealt: dict[str, list[NDArray[np.int64]]] = {part: [] for part in _PARTS}
        for label in range(10):
            of_class = rng.permutation(np.flatnonzero(y == label))
            shares = _OF_NARROW if label in NARROW else _OF_OTHERS
            cuts = np.cumsum([round(share * len(of_class)) for share in shares])
            for part, index in zip(_PARTS, np.split(of_class, cuts)[: len(_PARTS)], strict=True):
                dealt[part].append(index)
        positions = {part: rng.permutation(np.concatenate(lists)) for part, lists in dealt.items()}
        return cls({part: Rows(images[i], y[i].astype(np.int64)) for part, i in positions.items()})

    def __getitem__(self, part: str) -> Rows:
        return self.parts[part]


def narrow(rows: Rows, rng: np.random.Generator) -> Rows:
    """As many of `rows` as there can be with the site's class mix (96 % from four classes), each at most once."""
    assert rows.y is not None
    ours = np.isin(rows.y, NARROW)
    common, rare = rng.permutation(np.flatnonzero(ours)), rng.permutation(np.flatnonzero(~ours))
    extra = round(len(common) * (1 - NARROW_SHARE) / NARROW_SHARE)
    return rows.take(rng.permutation(np.concatenate([common, rare[:extra]])))


def rotated(x: Images, rng: np.random.Generator, degrees: tuple[float, float] = (20.0, 40.0)) -> Images:
    """Each image turned by an angle drawn from `degrees`: somebody knocked against the camera."""
    from scipy.ndimage import rotate

    angles = rng.uniform(*degrees, len(x))
    turned = [rotate(im[0], a, reshape=False, order=1) for im, a in zip(x, angles, strict=True)]
    return np.stack(turned)[:, None].astype(np.float32)


def loosely_turned(x: Images, rng: np.random.Generator) -> Images:
    """What another site's camera sees, which hangs loose and turns by up to 40 degrees."""
    return rotated(x, rng, (0.0, 40.0))


def noisy(x: Images, rng: np.random.Generator, sigma: float = 0.25) -> Images:
    """Gaussian sensor noise of standard deviation `sigma` (images lie in [0, 1])."""
    return np.clip(x + rng.normal(0, sigma, x.shape), 0, 1).astype(np.float32)


def augmented(x: Images, rng: np.random.Generator) -> Images:
    """What the root was trained on: turned either way, shifted by a pixel, noisy to various degrees."""
    turned = rotated(x, rng, (-20.0, 20.0))
    shifted = np.stack([np.roll(im, tuple(rng.integers(-1, 2, 2)), axis=(1, 2)) for im in turned])
    return np.clip(shifted + rng.normal(0, 1, x.shape) * rng.uniform(0, 0.1, (len(x), 1, 1, 1)), 0, 1).astype(
        np.float32
    )


def rotated_and_noisy(x: Images, rng: np.random.Generator) -> Images:
    """The demo's drift on the images themselves; the change of the class mix comes from the rows drawn."""
    return noisy(rotated(x, rng), rng, 0.2)


@dataclass(frozen=True, slots=True)
class Drift:
    """One kind of drift: what it does to images, and whether the class mix widens to all ten."""

    name: str
    change: Callable[[Images, np.random.Generator], Images]
    all_classes: bool

    def of(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """`rows` as the drifted site would see them (each image at most once)."""
        drawn = rows if self.all_classes else narrow(rows, rng)
        return Rows(self.change(drawn.x, rng), drawn.y)


def _unchanged(x: Images, _: np.random.Generator) -> Images:
    return x


DRIFTS: Sequence[Drift] = (
    Drift("rotation", rotated, False),
    Drift("sensor noise", noisy, False),
    Drift("class mix", _unchanged, True),
    Drift("all three", rotated_and_noisy, True),
)
