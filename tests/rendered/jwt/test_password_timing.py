"""Test of the time that a password check takes."""

import time
from statistics import median

from my_service.security import hash_password, verify_password


async def test_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    password_hash = await hash_password("the right one")
    seconds: dict[str, list[float]] = {"unknown": [], "wrong": []}
    for _ in range(9):
        for name, known in (("unknown", None), ("wrong", password_hash)):
            started = time.process_time()
            assert not await verify_password("a wrong one", known)
            seconds[name].append(time.process_time() - started)
    assert 0.5 < median(seconds["unknown"]) / median(seconds["wrong"]) < 2
