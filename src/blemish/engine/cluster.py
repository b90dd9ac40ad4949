"""The way to a Ray cluster: one that is there, or one made here and now."""

from __future__ import annotations

import logging

from blemish.errors import InputError, MissingExtra


def connect(address: str | None) -> bool:
    """Connect to Ray unless this process is connected; return whether it was done here, so that it can be undone.

    `address` is "auto" (the cluster that this machine belongs to), "host:port", or None: a cluster of this machine alone.

    Raises:
        MissingExtra: ray is not installed.
        InputError: there is no cluster at `address`.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtra("ray", "ray") from error
    if ray.is_initialized():
        return False
    dashboard = None if address else False
    try:
        ray.init(address=address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster at {address!r}: {error} Start one with `ray start --head`, or leave --address out to use "
            "this machine alone."
        ) from error
    return True
