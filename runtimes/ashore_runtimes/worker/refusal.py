"""What the Python runner cannot do, and whose trouble that is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from ashore_runtimes.wire.frames import Fault, ProtocolError


class Refusal(Exception):
    """Goes to the session as FAILED."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


@contextmanager
def refusing(fault: Fault) -> Iterator[None]:
    """The one place where an engine's own exceptions enter: inside, any of them is a ``fault``."""
    try:
        yield
    except Refusal:
        raise
    except ImportError as error:
        raise Refusal(Fault.IMPORT_ERROR, str(error)) from error
    except ProtocolError as error:
        raise Refusal(Fault.PROTOCOL_ERROR, str(error)) from error
    except Exception as error:
        raise Refusal(fault, f"{error}" or type(error).__name__) from error


def as_json(fields: object) -> bytes:
    return json.dumps(fields).encode()
