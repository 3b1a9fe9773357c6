"""Where an archive lies: a directory or an object store, both as names that are written once and never again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater

UNFINISHED = ".unfinished"
"""End of the name under which a file is written before it is published."""
_EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gcs": "gcsfs", "gs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


class AlreadyThereError(ConfigurationError):
    """A file that is to be published is there already."""


class Files(Protocol):
    """Files by name, with `/` between folders. All calls block."""

    place: str
    """What a person calls it."""

    def names(self, folder: str) -> list[str]:
        """Return the names directly in a folder, sorted; none where there is no such folder."""
        ...

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        """Return a file or a range of its bytes.

        Raises:
            BadInput: There is no such file.
            RetryLater: The place is away.
        """
        ...

    def publish(self, name: str, content: bytes) -> None:
        """Write a new file, whole or not at all; once this returns it survives a loss of power.

        Raises:
            AlreadyThereError: There is one of this name already; it is left as it is.
            RetryLater: The disk is full or the place is away.
        """
        ...


def open_files(place: str) -> Files:
    """Return the files at a directory, or at a URL such as `s3://bucket/path`.

    Raises:
        BadInput: Nothing here knows such a URL, or what knows it is not installed.
    """
    protocol, separator, _ = place.partition("://")
    if not separator:
        return LocalFiles(Path(place))
    if protocol == "file":
        return LocalFiles(Path(place.removeprefix("file://")))
    import fsspec  # noqa: PLC0415 - only for what is not a directory

    try:
        filesystem, root = fsspec.core.url_to_fs(place, use_listings_cache=False)
    except ImportError:
        extra = _EXTRAS.get(protocol, f"what fsspec needs for {protocol}")
        hint = "pip install 'helamem[s3]'" if extra == "s3fs" else f"pip install {extra}"
        raise BadInput(f"{place}: {protocol}:// needs a package that is not installed; {hint}") from None
    except ValueError as error:
        raise BadInput(f"{place}: {error}; name a directory or a URL such as s3://bucket/path") from None
    return RemoteFiles(filesystem, root, place)


class LocalFiles:
    """Files below a directory. A new one is synced under another name, and its renaming publishes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = str(root)

    def names(self, folder: str) -> list[str]:
        """Return the names directly in a folder, sorted."""
        try:
            return sorted(entry.name for entry in (self.root / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        """Return a file or a range of its bytes."""
        with self._explained(name), (self.root / name).open("rb") as file:
            file.seek(begin)
            return file.read() if end is None else file.read(max(0, end - begin))

    def publish(self, name: str, content: bytes) -> None:
        """Write a new file, whole or not at all."""
        path = self.root / name
        unfinished = path.with_name(path.name + UNFINISHED)
        with self._explained(name):
            self._make_folder(path.parent)
            if path.exists():
                raise _exists(self.place, name)
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
            sync_folder(path.parent)

    def make(self) -> None:
        """Make the directory where there is none.

        Raises:
            BadInput: It cannot be made.
        """
        try:
            self._make_folder(self.root)
        except OSError as error:
            raise BadInput(f"the directory {self.root} cannot be made: {error.strerror}; name another one") from None

    def _make_folder(self, folder: Path) -> None:
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for one in missing:
            sync_folder(one.parent)

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise BadInput(f"the archive {self.place} has no file {name}; check the path, or what removed it") from None
        except PermissionError as error:
            raise BadInput(f"{error.filename}: {error.strerror}; check the permissions of the archive") from None
        except OSError as error:
            raise RetryLater(
                f"the archive {self.place} cannot be used: {error.strerror or error}; try again when its disk can"
            ) from error


class RemoteFiles:
    """Files in an object store, by fsspec: one put publishes one."""

    def __init__(self, filesystem: Any, root: str, place: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self.place = place

    def names(self, folder: str) -> list[str]:
        """Return the names directly in a folder, sorted."""
        with self._explained(folder):
            try:
                found = self._filesystem.ls(self._path(folder), detail=False, refresh=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
        names = {str(one).rstrip("/").rpartition("/")[2] for one in found}
        return sorted(names - {""})

    def read(self, name: str, begin: int = 0, end: int | None = None) -> bytes:
        """Return a file or a range of its bytes."""
        with self._explained(name):
            whole = begin == 0 and end is None
            path = self._path(name)
            return bytes(self._filesystem.cat_file(path, **({} if whole else {"start": begin, "end": end})))

    def publish(self, name: str, content: bytes) -> None:
        """Write a new object by one put that the store refuses where there is one already."""
        path = self._path(name)
        with self._explained(name):
            self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            try:
                self._filesystem.pipe_file(path, content, mode="create")
            except FileExistsError:
                raise _exists(self.place, name) from None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise BadInput(f"the archive {self.place} has no file {name}; check the URL, or what removed it") from None
        except PermissionError as error:
            raise ConfigurationError(f"the archive {self.place} refuses access ({error}); check its keys") from None
        except OSError as error:
            raise RetryLater(f"the archive {self.place} is away ({error}); try again") from error


def _exists(place: str, name: str) -> AlreadyThereError:
    return AlreadyThereError(
        f"the archive {place} has {name} already, and nothing in it is ever rewritten; another archiver may be at work:"
        " let only one write to an archive"
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; syncing a file does not do that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
