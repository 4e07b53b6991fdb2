"""Grows one family: a root that is trained for long, and children made from it and from one another."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from heritage.testing import relations as made
from heritage.testing.networks import Shape, build
from heritage.testing.plan import MERGES, ForestPlan, draw_shape
from heritage.testing.tasks import Task, base_task, derived_task
from heritage.testing.training import State, child_recipe, frozen, root_recipe, train, train_in_parts

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclass(slots=True)
class Node:
    """One model of a forest: what it is, what it was made from, its weights while training and as saved."""

    id: int
    family: str
    relation: str
    parents: tuple[int, ...]
    state: State
    saved: State
    classes: int
    masks: State = field(default_factory=dict)
    base: int | None = None


@dataclass(slots=True)
class _Family:
    plan: ForestPlan
    shape: Shape
    rng: np.random.Generator
    name: str
    scheme: str
    task: Task
    from_saved: bool
    tree_shape: str
    nodes: list[Node] = field(default_factory=list)

    def add(self, relation: str, parents: tuple[Node, ...], state: State, classes: int, dtype: str = "") -> Node:
        kind = DTYPES[dtype or self.plan.dtype]
        saved = {k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}
        if self.from_saved:
            state = {k: v.float() if v.is_floating_point() else v for k, v in saved.items()}
        node_id = int(self.name.split("-")[0]) * 10_000 + len(self.nodes)
        family = self.name if relation != "distill" else f"{self.name}-{node_id}"
        node = Node(node_id, family, relation, tuple(p.id for p in parents), state, saved, classes)
        self.nodes.append(node)
        return node

    def seed(self) -> int:
        return int(self.rng.integers(2**31))

    def network(self, state: State, classes: int, scheme: str = "") -> torch.nn.Module:
        generator = torch.Generator().manual_seed(self.seed())
        network = build(self.shape, classes, scheme or self.scheme, generator)
        fitting = {k: v for k, v in state.items() if network.state_dict()[k].shape == v.shape}
        network.load_state_dict(fitting, strict=False)
        return network

    def pick(self) -> Node:
        open_to = [n for n in self.nodes if n.relation not in ("distill", "copy", "recast")]
        if self.tree_shape == "star" and self.rng.random() < 0.7:
            return open_to[0]
        if self.tree_shape == "chain" and self.rng.random() < 0.7:
            return open_to[-1]
        return open_to[int(self.rng.integers(len(open_to)))]


def grow_family(plan: ForestPlan, size: int, number: int, rng: np.random.Generator) -> list[Node]:
    """`size` models of one family, root first; a distilled student counts and is a family of its own."""
    kind = plan.kinds[number % len(plan.kinds)]
    shape = draw_shape(kind, rng, plan.small)
    classes = int(rng.integers(5, 11))
    family = _Family(
        plan,
        shape,
        rng,
        f"{number}-{kind}",
        str(rng.choice(["uniform", "normal", "orthogonal", "biased"])),
        base_task(shape, classes, rng),
        bool(rng.random() < 0.6),
        str(rng.choice(plan.tree_shapes)),
    )
    recipe = root_recipe(rng)
    recipe = replace(recipe, steps=recipe.steps // 4) if plan.small else recipe
    family.add("root", (), train(family.network({}, classes), family.task, recipe, family.seed()), classes)
    names, weights = list(plan.relations), np.array(list(plan.relations.values()))
    while len(family.nodes) < size:
        relation = str(rng.choice(names, p=weights / weights.sum()))
        (_merge if relation in MERGES else _MAKERS[relation])(family, relation)
    return family.nodes[:size]


def _task(f: _Family, parent: Node) -> Task:
    other = f.rng.random() < f.plan.other_heads
    classes = int(f.rng.integers(3, 15)) if other else parent.classes
    return derived_task(f.task, f.shape, classes, f.rng)


def _finetune(f: _Family, relation: str, parent: Node | None = None) -> None:
    parent = parent or f.pick()
    task, recipe = _task(f, parent), child_recipe(f.rng)
    recipe = replace(recipe, steps=recipe.steps // 4) if f.plan.small else recipe
    if relation == "frozen":
        recipe = frozen(replace(recipe, rate=3 * recipe.rate), str(f.rng.choice(["head", "upper"])))
    keep = parent.masks if f.rng.random() < 0.5 else None
    network = f.network(parent.state, task.classes)
    node = f.add(relation, (parent,), train(network, task, recipe, f.seed(), keep), task.classes)
    node.masks = parent.masks if keep else {}


def _checkpoints(f: _Family, relation: str) -> None:
    parent = f.pick()
    task, recipe = _task(f, parent), child_recipe(f.rng)
    recipe = replace(recipe, steps=max(4, recipe.steps // (8 if f.plan.small else 2)))
    network = f.network(parent.state, task.classes)
    for state in train_in_parts(network, task, recipe, f.seed(), int(f.rng.integers(2, 4))):
        parent = f.add(relation, (parent,), state, task.classes)


def _lora(f: _Family, relation: str) -> None:
    parent = f.pick()
    rank, steps = int(f.rng.choice([2, 4, 8, 16])), int(f.rng.integers(25, 80) // (4 if f.plan.small else 1))
    network, task = f.network(parent.state, parent.classes), derived_task(f.task, f.shape, parent.classes, f.rng)
    rate = float(10 ** f.rng.uniform(-2.8, -2.2))
    state = made.train_adapter(network, task, rank, steps, rate, f.seed(), bool(f.rng.random() < 0.5))
    f.add(relation, (parent,), state, parent.classes)


def _prune(f: _Family, relation: str) -> None:
    parent = f.pick()
    state, masks = made.prune(parent.state, float(f.rng.uniform(0.2, 0.7)), bool(f.rng.random() < 0.5))
    f.add(relation, (parent,), state, parent.classes).masks = masks


def _quantise(f: _Family, relation: str) -> None:
    parent = f.pick()
    f.add(relation, (parent,), made.quantise(parent.state, bool(f.rng.random() < 0.5)), parent.classes)


def _tuned(f: _Family, relation: str) -> None:
    """A fine-tune of a pruned or quantised model, which is made first where there is none."""
    source, maker = {"pruned_ft": ("prune", _prune), "int8_ft": ("quantize", _quantise)}[relation]
    ready = [n for n in f.nodes if n.relation == source]
    if not ready or f.rng.random() < 0.3:
        maker(f, source)
        ready = [f.nodes[-1]]
    _finetune(f, relation, ready[int(f.rng.integers(len(ready)))])


def _merge(f: _Family, relation: str) -> None:
    count = 3 if relation == "merge_soup" or (relation == "merge_ties" and f.rng.random() < 0.3) else 2
    root = f.nodes[0]
    able = [
        n
        for n in f.nodes[1:]
        if n.classes == root.classes and n.relation in ("finetune", "lora", "checkpoint", "int8_ft")
    ]
    if len(able) < count:
        return _finetune(f, "finetune", root)
    parents = [able[i] for i in f.rng.choice(len(able), count, replace=False)]
    states, share = [p.state for p in parents], float(f.rng.choice([0.3, 0.4, 0.5, 0.6]))
    if relation == "merge_ties":
        state = made.ties(root.state, states, float(f.rng.choice([0.2, 0.3, 0.5, 0.7])))
    elif relation == "merge_slerp":
        state = made.slerp(states, share, bool(f.rng.random() < 0.5))
    else:
        state = made.linear(states, [1 / 3] * 3 if count == 3 else [1 - share, share])
    node = f.add(relation, tuple(parents), state, root.classes)
    node.base = root.id if relation == "merge_ties" else None
    return None


def _copy(f: _Family, relation: str) -> None:
    parent = f.pick()
    other = "bf16" if f.plan.dtype == "f32" else "f32"
    source = {k: v.float() if v.is_floating_point() else v for k, v in parent.saved.items()}
    f.add(relation, (parent,), source, parent.classes, other if relation == "recast" else "")


def _distill(f: _Family, relation: str) -> None:
    teacher = f.pick()
    network = f.network(teacher.state, teacher.classes).eval()
    with torch.no_grad():
        labels = network(torch.from_numpy(np.ascontiguousarray(f.task.x))).argmax(1).numpy()
    recipe = root_recipe(f.rng)
    recipe = replace(recipe, steps=recipe.steps // (6 if f.plan.small else 2))
    student = f.network({}, teacher.classes)
    task = replace(f.task, y=labels, classes=teacher.classes)
    f.add(relation, (), train(student, task, recipe, f.seed()), teacher.classes)


_MAKERS: dict[str, Callable[[_Family, str], None]] = {
    **dict.fromkeys(("finetune", "frozen"), _finetune),
    **dict.fromkeys(("pruned_ft", "int8_ft"), _tuned),
    "checkpoint": _checkpoints,
    "lora": _lora,
    "prune": _prune,
    "quantize": _quantise,
    "copy": _copy,
    "recast": _copy,
    "distill": _distill,
}
