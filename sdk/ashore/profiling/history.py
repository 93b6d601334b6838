"""Profiles kept over time, in SQLite or any database that SQLAlchemy reaches.

Several processes may append at once; what was committed survives a crash of any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ashore.errors import ArtifactError, UsageError
from ashore.profiling.metrics import get_metric, metric_values
from ashore.profiling.profiles import dump_profile, parse_profile
from ashore.types.profile import Profile

if TYPE_CHECKING:
    from sqlalchemy import Connection

DEFAULT_STORE = Path(".ashore/history.sqlite")
"""In the folder where the command is called: the project's."""


@dataclass(frozen=True)
class Series:
    """One metric of one artifact on one target over time, the oldest first.

    ``points`` are (time of the profile, value); times are UTC in ISO 8601, values in stored units: nanoseconds, bytes,
    instructions or dB.
    """

    artifact: str
    target: str
    threads: int
    mode: str
    metric: str
    points: tuple[tuple[str, float], ...]

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(value for _, value in self.points)


def check_store(store: Path | str) -> None:
    """Raise as :func:`append_profile` would, before the long work; the store is made where there is none."""
    with _connected(store, make=True):
        pass


def append_profile(profile: Profile, store: Path | str = DEFAULT_STORE) -> None:
    """Add a profile, all of it or nothing; the store is made where there is none.

    Args:
        store: path of an SQLite file, or a URL as SQLAlchemy takes it, such as ``sqlite:////var/lib/ashore.sqlite``.

    Raises:
        UsageError: the store cannot be opened or written.
        ArtifactError: the file is no such store, or another ashore made it.
    """
    from ashore.profiling import store as tables

    with _connected(store, make=True) as connection:
        number = tables.add_profile(connection, profile.created, dump_profile(profile).decode())
        rows = [
            {
                "profile": number,
                "created": profile.created,
                "artifact": result.title,
                "target": result.target.id,
                "threads": result.settings.threads,
                "mode": result.settings.mode.value,
                "metric": metric,
                "value": value,
            }
            for result in profile.results
            for metric, value in metric_values(result).items()
        ]
        tables.add_measurements(connection, rows)


def read_history(
    store: Path | str = DEFAULT_STORE,
    *,
    metrics: Sequence[str] = (),
    artifacts: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> tuple[Series, ...]:
    """Series of the named metrics, artifacts (``<name>.<backend>.<precision>`` or the name alone) and targets.

    Empty arguments ask for everything.

    Raises:
        UsageError: there is no store, or no metric of that name.
        ArtifactError: as :func:`append_profile`.
    """
    from ashore.profiling import store as tables

    for metric in metrics:
        get_metric(metric)
    with _connected(store, make=False) as connection:
        found: dict[tuple[str, str, int, str, str], list[tuple[str, float]]] = {}
        for row in tables.find_measurements(connection, metrics, targets):
            if not artifacts or any(_named(row.artifact, wanted) for wanted in artifacts):
                key = (row.artifact, row.target, row.threads, row.mode, row.metric)
                found.setdefault(key, []).append((row.created, row.value))
    return tuple(Series(*key, points=tuple(points)) for key, points in found.items())


def read_profiles(store: Path | str = DEFAULT_STORE) -> tuple[Profile, ...]:
    """Every profile whole, the oldest first. Raises as :func:`read_history`."""
    from ashore.profiling import store as tables

    with _connected(store, make=False) as connection:
        texts = tables.find_profiles(connection)
    return tuple(parse_profile(text.encode(), f"profile {number} in {store}") for number, text in texts)


def _named(title: str, wanted: str) -> bool:
    return title == wanted or title.startswith(f"{wanted}.")


@contextmanager
def _connected(store: Path | str, *, make: bool) -> Iterator[Connection]:
    """A transaction, committed at the end."""
    from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

    from ashore.profiling import store as tables

    try:
        with tables.connect(store, make=make) as connection:
            yield connection
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise UsageError(
            f"the store {store} cannot be reached: {error}", "give a path, or a URL such as sqlite:///history.sqlite"
        ) from error
    except OperationalError as error:
        raise UsageError(
            f"the store {store} cannot be used: {error.orig}", "check the path, its permissions and the disk"
        ) from error
    except DatabaseError as error:
        raise ArtifactError(
            f"the store {store} is damaged or no history: {error.orig}", "restore it, or give another with --store"
        ) from error
