"""Removing the sockets of a host that could not do it itself. ``transport.places`` does it at a planned end."""

from __future__ import annotations

import os
import stat


def remove(runtime_folder: str) -> None:
    """Sockets in the folders of uids, then what is empty. What is not the host's stays, and its folder."""
    for folder in [f"{runtime_folder}/{name}" for name in _names(runtime_folder) if name.isdecimal()]:
        for name in _names(folder):
            try:
                if stat.S_ISSOCK(os.lstat(f"{folder}/{name}").st_mode):
                    os.unlink(f"{folder}/{name}")
            except OSError:  # somebody else was faster, or it is not ours to remove
                continue
        _try_remove_folder(folder)
    _try_remove_folder(runtime_folder)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _try_remove_folder(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:  # something in it is not ours
        return
