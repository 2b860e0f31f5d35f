"""The board's memory: one SQLite file. What was acknowledged is on disk."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from progressgym.errors import ProgressGymError, UsageError
from progressgym.storage import atomic_path

_MIGRATIONS = Path(__file__).parent / "migrations"
PATIENCE = 60.0
"""Seconds that a writer waits for the others."""


class Store:
    """A SQLite file in WAL mode: many readers, one writer at a time, every commit durable.

    Args:
        path: of the file; made if it is not there, brought up to date if it is older.

    Raises:
        UsageError: a file that is no board, or one of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._own = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._migrate()
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{path} cannot be used as a board: {error}.") from error

    @property
    def _connection(self) -> sqlite3.Connection:
        """Each thread's own."""
        if not hasattr(self._own, "connection"):
            connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._own.connection = connection
        return self._own.connection

    def read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._sound():
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query."""
        with self._sound():
            return self._connection.execute(query, values).fetchone()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is on disk when the block ends, nothing if it raises."""
        with self._sound():
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:  # an error of the file may have ended it
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """Explain what SQLite says of a file that was damaged or is locked, and of vast numbers."""
        try:
            yield
        except sqlite3.IntegrityError:  # of a program, not of the file
            raise
        except OverflowError:
            raise UsageError("No board has numbers beyond 2^63.") from None
        except sqlite3.DatabaseError as error:
            raise ProgressGymError(
                f"The board {self.path} cannot be used: {error}. If it is damaged, put a copy in "
                "its place that `progressgym leaderboard backup` made."
            ) from error

    def backup(self, to: Path) -> None:
        """Copy the board as it is now into another file, while it may be in use."""
        with (
            self._sound(),
            atomic_path(to) as temporary,
            closing(sqlite3.connect(temporary)) as copy,
        ):
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")

    def new_token(self, name: str) -> str:
        """A token for a submitter; only its hash is kept.

        Raises:
            UsageError: the name has one that is valid.
        """
        token = f"pg-{secrets.token_urlsafe(24)}"
        with self.writing() as rows:
            if rows.execute("SELECT 1 FROM tokens WHERE name = ?", [name]).fetchone():
                raise UsageError(f"{name!r} has a token already; choose another name.")
            rows.execute(
                "INSERT INTO tokens (sha256, name, at) VALUES (?, ?, ?)",
                [_hash(token), name, now()],
            )
        return token

    def revoke_token(self, name: str) -> None:
        """Make a submitter's token invalid; the name stays taken."""
        with self.writing() as rows:
            changed = rows.execute(
                "UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL", [now(), name]
            ).rowcount
        if not changed:
            raise UsageError(f"{name!r} has no valid token.")

    def owner_of(self, token: str) -> str | None:
        """Whose token it is; None if it is nobody's."""
        row = self.one(
            "SELECT name FROM tokens WHERE sha256 = ? AND revoked IS NULL", [_hash(token)]
        )
        return row["name"] if row else None

    def _migrate(self) -> None:
        steps = sorted(_MIGRATIONS.glob("*.sql"))
        connection = self._connection
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(steps):
            raise UsageError(f"{self.path} was written by a newer version of progressgym.")
        for number, step in enumerate(steps[version:], start=version + 1):
            # Another process may be at it: the version is read again when it is our turn.
            script = f"BEGIN IMMEDIATE; {step.read_text()} PRAGMA user_version = {number}; COMMIT;"
            try:
                connection.executescript(script)
            except sqlite3.OperationalError:
                connection.execute("ROLLBACK")
                if connection.execute("PRAGMA user_version").fetchone()[0] < number:
                    raise


def log(
    rows: sqlite3.Connection, who: str, what: str, submission: int | None, reason: str = ""
) -> None:
    """Append to the log, within a transaction."""
    rows.execute(
        "INSERT INTO events (at, who, submission, what, reason) VALUES (?, ?, ?, ?, ?)",
        [now(), who, submission, what, reason],
    )


def now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
