"""The history's tables (schema ``ashore.history/1``). Imports SQLAlchemy: only for those who use a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from ashore.errors import ArtifactError, UsageError

SCHEMA = "ashore.history/1"
_LOCK_LIMIT_S = 60.0
"""How long a process waits for others that write."""

_METADATA = sa.MetaData()
_ABOUT = sa.Table("about", _METADATA, sa.Column("schema", sa.String, primary_key=True))
_PROFILES = sa.Table(
    "profiles",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
_MEASUREMENTS = sa.Table(
    "measurements",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("profile", sa.ForeignKey("profiles.id"), nullable=False),
    sa.Column("created", sa.String, nullable=False),
    sa.Column("artifact", sa.String, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("threads", sa.Integer, nullable=False),
    sa.Column("mode", sa.String, nullable=False),
    sa.Column("metric", sa.String, nullable=False),
    sa.Column("value", sa.Float, nullable=False),
    sa.Index("by_metric", "metric", "target", "created"),
)


@contextmanager
def connect(store: Path | str, *, make: bool) -> Iterator[sa.Connection]:
    """A transaction on the store, whose tables are there and of this schema; committed at the end."""
    url = _url(store)
    path = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    if path is not None and not make and not path.exists():
        raise UsageError(f"there is no history at {path}", "ashore profile --save makes one; --store names another")
    if path is not None and make:
        _make_folder(path.parent)
    engine = sa.create_engine(url, connect_args={"timeout": _LOCK_LIMIT_S} if path is not None else {})
    if path is not None:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_writing if make else _begin_reading)
    try:
        with engine.begin() as connection:
            _check_schema(connection, store, make=make)
            yield connection
    finally:
        engine.dispose()


def add_profile(connection: sa.Connection, created: str, document: str) -> int:
    """The number that it got."""
    added = connection.execute(sa.insert(_PROFILES).values(created=created, document=document))
    assert added.inserted_primary_key is not None
    return int(added.inserted_primary_key[0])


def add_measurements(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(_MEASUREMENTS), list(rows))


def find_measurements(
    connection: sa.Connection, metrics: Sequence[str], targets: Sequence[str]
) -> Sequence[sa.Row[Any]]:
    """The oldest first; empty arguments ask for all."""
    query = sa.select(_MEASUREMENTS).order_by(_MEASUREMENTS.c.created, _MEASUREMENTS.c.id)
    if metrics:
        query = query.where(_MEASUREMENTS.c.metric.in_(metrics))
    if targets:
        query = query.where(_MEASUREMENTS.c.target.in_(targets))
    return connection.execute(query).all()


def find_profiles(connection: sa.Connection) -> list[tuple[int, str]]:
    """Numbers and documents, the oldest first."""
    query = sa.select(_PROFILES.c.id, _PROFILES.c.document).order_by(_PROFILES.c.created, _PROFILES.c.id)
    return [(row.id, row.document) for row in connection.execute(query)]


def _url(store: Path | str) -> sa.URL:
    """A path is one of an SQLite file."""
    if isinstance(store, str) and "://" in store:
        return sa.make_url(store)
    return sa.URL.create("sqlite", database=str(store))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder {folder} of the history cannot be made: {error.strerror}", "give another --store"
        ) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """A log ahead of the data lets readers and a writer work at once; FULL outlives a loss of power, too."""
    connection.isolation_level = None  # or Python begins transactions of its own, which only later want to write
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {round(_LOCK_LIMIT_S * 1000)}", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_writing(connection: sa.Connection) -> None:
    """The lock is taken at once: of two that read first and write later, one would have to fail."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _check_schema(connection: sa.Connection, store: Path | str, *, make: bool) -> None:
    if make:
        _METADATA.create_all(connection)
    elif not sa.inspect(connection).has_table("about"):
        raise ArtifactError(f"the store {store} is no history of ashore's", "give another with --store")
    found = connection.execute(sa.select(_ABOUT.c.schema)).scalar()
    if found is None:
        connection.execute(sa.insert(_ABOUT).values(schema=SCHEMA))
    elif found != SCHEMA:
        raise ArtifactError(
            f"the store {store} has schema {found!r}; this ashore reads {SCHEMA!r}", "use the ashore that made it"
        )
