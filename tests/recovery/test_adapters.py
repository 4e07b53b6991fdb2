"""Adapters on adapters: ranks that add up say who was made from whom, by weights and by fingerprints."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from heritage.recovery.cues import Cues
from heritage.recovery.models import open_folder
from heritage.recovery.proofs.lowrank import rank_of
from heritage.recovery.recover import recover, recover_fingerprints
from heritage.recovery.siblings import straighten
from heritage.recovery.sketched import common_places
from heritage.weights.fingerprint_sample import places
from heritage.weights.fingerprinting import take_fingerprint

ATTENTION = ("layer.0.query.weight", "layer.0.value.weight")
EVERYWHERE = (*ATTENTION, "layer.1.dense.weight", "layer.2.dense.weight")


def adapted(planter, parent, rank, names, size=0.02):
    child = dict(parent)
    for k in names:
        rows, columns = parent[k].shape
        child[k] = parent[k] + size * planter.noise((rows, rank)) @ planter.noise((rank, columns)) / rank**0.5
    return child


@pytest.mark.parametrize("rank", [3, 13, 26])
def test_ranks_are_counted_beyond_half_of_what_is_possible(rng, rank):
    a = (0.1 * rng.normal(size=(36, 40))).astype(np.float32)
    step = (0.02 * rng.normal(size=(36, rank)) @ rng.normal(size=(rank, 40))).astype(np.float32)
    found = rank_of(a, a + step, "F32", "F32")
    assert found is not None
    assert found[0] == rank


def test_a_step_of_full_rank_has_no_low_rank(rng):
    a = (0.1 * rng.normal(size=(36, 40))).astype(np.float32)
    assert rank_of(a, a + (0.02 * rng.normal(size=a.shape)).astype(np.float32), "F32", "F32") is None


@pytest.mark.parametrize("by_prints", [False, True], ids=["weights", "fingerprints"])
def test_a_chain_of_adapters_on_other_matrices_and_of_other_ranks_is_no_star(planter, saved, by_prints):
    root = planter.root()
    first = adapted(planter, root, 2, ATTENTION, 0.004)
    second = adapted(planter, first, 10, EVERYWHERE, 0.03)
    third = adapted(planter, second, 9, ATTENTION, 0.02)
    states = {"root": root, "first": first, "second": second, "third": third}
    states["sibling"] = adapted(planter, root, 10, EVERYWHERE, 0.03)
    with open_folder(saved(states)) as (models, _):
        found = (
            recover_fingerprints({m.name: take_fingerprint(m.weights) for m in models})
            if by_prints
            else recover(models)
        )
    edges = {(frozenset((e["parent"], e["child"])), e["relation"]) for e in found.document()["edges"]}
    wanted = [("root", "first"), ("first", "second"), ("second", "third"), ("root", "sibling")]
    assert edges == {(frozenset(pair), "lora") for pair in wanted}


def test_fingerprints_of_two_formats_are_compared_where_both_keep_values(planter, saved):
    root = planter.root()
    states = {"root": root, "a": planter.finetuned(root, 0.03), "b": planter.finetuned(root, 0.04)}
    with open_folder(saved(states)) as (models, _):
        prints = {m.name: take_fingerprint(m.weights) for m in models}
    prints["b"] = _as_in_format_two(prints["b"], states["b"])
    edges = {frozenset((e["parent"], e["child"])) for e in recover_fingerprints(prints).document()["edges"]}
    assert edges == {frozenset(("root", "a")), frozenset(("root", "b"))}


def _as_in_format_two(fingerprint, state):
    segments = np.minimum(fingerprint.segments, 20)
    spans = np.where(segments > 0, 16, 0)
    kept = [
        state[n].numpy().ravel()[places(n, "F32", s, int(k), 16)]
        for n, s, k in zip(fingerprint.names, fingerprint.shapes, segments, strict=True)
        if k
    ]
    sampled = np.concatenate([v.ravel() for v in kept])
    return replace(fingerprint, segments=segments, spans=spans, sampled=sampled)


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_common_places_are_those_that_all_keep(dtype):
    kept = [places("w", "F32", (50, 60), 36, 36), places("w", dtype, (50, 60), 20, 16)]
    common = common_places(kept, 60)
    both = set(kept[0].ravel().tolist()) & set(kept[1].ravel().tolist())
    assert set(common.ravel().tolist()) == both
    assert common_places([kept[0], kept[0]], 60) is kept[0]
    assert common_places([kept[0], np.zeros((0, 0), np.int64)], 60).size == 0


def test_a_model_that_was_adapted_in_bf16_is_counted_in_what_rises_above_rounding(rng):
    a = torch.from_numpy(0.1 * rng.normal(size=(36, 40))).bfloat16()
    step = torch.from_numpy(0.3 * rng.normal(size=(36, 2)) @ rng.normal(size=(2, 40)))
    found = rank_of(a.float().numpy(), (a + step).bfloat16().float().numpy(), "BF16", "BF16")
    assert found is not None
    assert found[0] == 2


@pytest.mark.parametrize("wrong", [{(0, 1), (0, 2)}, {(0, 1), (1, 2)}], ids=["as siblings", "as a chain"])
def test_ranks_overrule_distances_that_do_not_tell(planter, planted, wrong):
    root = planter.root()
    first = adapted(planter, root, 2, ATTENTION, 0.001)
    chained = (0, 1) in wrong and (0, 2) in wrong
    states = {"root": root, "first": first, "second": adapted(planter, first if chained else root, 12, EVERYWHERE)}
    with planted(states) as family:
        moved = straighten(wrong, 0, Cues(family, family.gather()), set())
    assert moved == ({(0, 1), (1, 2)} if chained else {(0, 1), (0, 2)})
