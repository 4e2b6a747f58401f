import platform
import resource

import pytest
import torch

from sc2bench.core.memory import keep_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again():
    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(48 << 18)  # 48 MB, 12,288 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert keep_memory()
    faults()
    assert faults() < 1000
