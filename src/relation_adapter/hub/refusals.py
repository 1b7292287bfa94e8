"""What a hub, a network or a disk refuses: each in one line that says what to do.

Told apart by status codes and headers rather than by exception classes: these stay the same over versions of
huggingface_hub and of the HTTP library below it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from relation_adapter.errors import WeightsError
from relation_adapter.files import reason
from relation_adapter.hub.parts import Part

GO_ON = "files that are whole stay, the same command goes on with the rest"
LOG_IN = "run `hf auth login` or set HF_TOKEN"
BY_HAND = "or copy the files into a folder of weights"


class UnreachableError(WeightsError):
    """The hub gave no answer, or not now; what the cache holds may do."""


@contextmanager
def one_line(part: Part, with_token: bool) -> Iterator[None]:
    """Turn whatever fetching a part raises into WeightsError. with_token: whether the hub was asked with one.

    A KeyboardInterrupt passes through. So does what neither the hub, the network nor the disk could have raised.
    """
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        raise _refusal(part, error, with_token) or error from error


def _refusal(part: Part, error: Exception, with_token: bool) -> WeightsError | None:
    """The first in the chain of causes that can be told apart; the library wraps some of them."""
    for cause in _chain(error):
        if getattr(cause, "response", None) is not None:
            return _of_the_hub(part, cause, with_token)
    for cause in _chain(error):
        if found := _of_the_network(part, cause) or _of_the_disk(part, cause):
            return found
    if isinstance(error, OSError | ValueError | RuntimeError):  # RuntimeError: the Xet transfer's
        return WeightsError(f"{part.repo}: cannot be fetched ({_short(error)}); {GO_ON}")
    return None


def _of_the_hub(part: Part, error: BaseException, with_token: bool) -> WeightsError:
    """An answer of the hub that is no success."""
    response = error.response  # type: ignore[attr-defined]
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    says = response.headers.get("X-Error-Message", "")
    page = page_of(part)
    if "Invalid" in says and status == 401:
        return WeightsError(f"{part.repo}: the hub does not know this token; make a new one and {LOG_IN}")
    if code == "GatedRepo" or (status == 401 and part.gated):
        return _gated(part, with_token)
    if status == 403:
        detail = f" ({_short(says)})" if says else ""
        return WeightsError(f"{part.repo}: this token may not read it{detail}; give it read access at {page}")
    if code == "RevisionNotFound":
        return WeightsError(f"{part.repo}: has no revision {part.revision}; see {page}/commits/main")
    if code == "EntryNotFound":
        return WeightsError(f"{part.repo}: has no {_file_of(response)} at {part.revision}; see {page}/tree/main")
    if status in (401, 404):
        return WeightsError(f"{part.repo}: not on the hub, or private; check the name, or {LOG_IN}")
    wait = (
        "the hub is asked too often; wait some minutes" if status == 429 else f"the hub answers {status}; wait a while"
    )
    return UnreachableError(f"{part.repo}: {wait}; {GO_ON}")


def _gated(part: Part, with_token: bool) -> WeightsError:
    licence = f" ({part.licence})" if part.licence else ""
    account = "by the account of this token" if with_token else f"then {LOG_IN}"
    return WeightsError(f"{part.repo}: its licence{licence} must be accepted first at {page_of(part)}, {account}")


def _of_the_network(part: Part, error: BaseException) -> UnreachableError | None:
    """No answer, or one that broke off."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"TimeoutException", "TimeoutError"}:
        what = "the hub is too slow to answer"
    elif names & {"RemoteProtocolError", "ReadError", "ChunkedEncodingError"} or "Consistency check" in str(error):
        what = "the connection broke off"
    elif names & {"TransportError", "ConnectionError", "ProxyError"}:
        what = f"no way to the hub ({_short(error)})"
    elif "FileMetadataError" in names:
        what = "something else answers in the hub's place (a proxy, a login page, HF_ENDPOINT)"
    else:
        return None
    return UnreachableError(f"{part.repo}: {what}; check the network, {BY_HAND}; {GO_ON}")


def _of_the_disk(part: Part, error: BaseException) -> WeightsError | None:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):  # as the Xet transfer says it
        return WeightsError(f"{part.repo}: the disk is full; make room, or name another disk with HF_HOME; {GO_ON}")
    if not isinstance(error, OSError) or number is None or isinstance(error, ConnectionError):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return WeightsError(f"{where}cannot be written ({reason(error)}); name another folder for the cache with HF_HOME")


def page_of(part: Part) -> str:
    """The address of the repository's page."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{part.repo}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _short(error: object) -> str:
    text = reason(error) if isinstance(error, BaseException) else " ".join(str(error).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def _file_of(response: object) -> str:
    """The file that an address of the hub names: .../resolve/REVISION/FILE."""
    path = str(response.url).partition("/resolve/")[2]  # type: ignore[attr-defined]
    return path.partition("/")[2] or "such file"
