"""Every error that heritage raises on purpose.

    HeritageError
    ├── BadInput            a value, array, file or answer does not fit; the caller can mend it
    │   ├── UnsafeCheckpoint    a weights file breaks a rule of the format or a limit
    │   └── UnsafeName          a name, key or address from outside breaks the naming policy
    ├── NotFound            a model, version, object or column does not exist
    ├── Conflict            something else was there first, or changed meanwhile
    │   └── LineageCycle        an edge would make a version its own ancestor
    ├── Refused             a gate or an approval said no; nothing was changed
    ├── Unavailable         a service did not answer in time; trying again may help
    └── Misconfigured       a setting, credential or program is missing or wrong

A message says what was wrong, which file, model or tensor, the value seen, the limit, and what to do next.
"""


class HeritageError(Exception):
    """Root of all errors that heritage raises on purpose."""


class BadInput(HeritageError):
    """A value, array, file or answer does not fit; the message names it and the remedy."""


class UnsafeCheckpoint(BadInput):
    """A weights file breaks a rule of its format or a limit; nothing of it was used."""


class UnsafeName(BadInput):
    """A name, key or address from outside breaks the naming policy."""


class NotFound(HeritageError):
    """A model, version, object or column does not exist."""


class Conflict(HeritageError):
    """Something else was there first, or changed since it was read."""


class LineageCycle(Conflict):
    """An edge would make a version its own ancestor."""


class Refused(HeritageError):
    """A gate or an approval said no; nothing was changed."""


class Unavailable(HeritageError):
    """A service did not answer within the deadline; trying again may help."""


class Misconfigured(HeritageError):
    """A setting, credential or program is missing or wrong."""
