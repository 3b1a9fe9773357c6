"""RemoteStore under the contract of all stores, against a process of its own."""

from __future__ import annotations

import pytest

from contracts.store_contract import Reopen, StoreContract
from helamem.streams.store_process.client import RemoteStore
from streams.store_process.process import StoreProcess


@pytest.mark.slow  # each case starts a process; EdgeStore is under the same contract in the fast suite
class TestRemoteStore(StoreContract):
    @pytest.fixture
    def big_batch(self) -> int:
        return 5000

    @pytest.fixture
    def reopen(self, process: StoreProcess, stores: list[RemoteStore]) -> Reopen:
        """The client closes, the process ends, and both begin again."""

        async def again() -> RemoteStore:
            await stores[-1].close()
            assert process.stop().code == 0
            process.start()
            stores.append(await process.connect())
            return stores[-1]

        return again
