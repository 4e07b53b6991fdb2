"""The error tree: one root, and the drawing at the top of the file is the tree."""

import inspect
import re

from heritage import errors


def test_every_error_is_drawn_where_it_hangs() -> None:
    classes = {n: c for n, c in vars(errors).items() if inspect.isclass(c)}
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^([\s│├└─]*)([A-Z]\w+)(?:\s{2,}|$)", line):
            drawn.append((len(found[1]) // 4, found[2]))
    assert {name for _, name in drawn} == set(classes)
    path: list[str] = []
    for depth, name in drawn:
        del path[depth - 1 :]
        assert classes[name].__base__ is (classes[path[-1]] if path else Exception), name
        assert classes[name].__doc__
        path.append(name)
