"""The described device, and programs compiled for it: with the CUDA plugin, without a GPU."""

import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # compiling needs neither cuDNN nor cuBLAS

# isort: split
import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.h200.lowering import lower

#: What XLA wants to know of the device: NVIDIA's data sheet, and what the CUDA runtime says of the compute capability.
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128 block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: 4800000000000 l2_cache_size: 62914560
  clock_rate_ghz: 1.98 device_memory_size: 150000000000 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 } registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 patch: 0 }
device_description_str: "NVIDIA H200"
"""


class Compiled(NamedTuple):
    """What XLA made of a program: its text, bytes of temporaries, the CPU time that it took, and kernels as PTX."""

    text: str
    temporaries: int
    seconds: float
    ptx: list[str]


def compiled(name: str, replicates: int, kernel: bool = False) -> Compiled:
    """Compile a program for the described device, its rounds in a `kernel` or scanned."""
    found = topologies.get_topology_desc("h200", platform="cuda", target_config=H200, topology="1x1x1")
    mesh = Mesh(np.array(found.devices).reshape(1), ("x",))
    lowered = lower(name, replicates, NamedSharding(mesh, PartitionSpec()), "always" if kernel else "never")
    with tempfile.TemporaryDirectory() as folder:
        began = _cpu_seconds()
        program = lowered.compile(compiler_options={"xla_dump_to": folder} if kernel else None)
        seconds = _cpu_seconds() - began
        ptx = [path.read_text() for path in Path(folder).glob("*.ptx")]
    return Compiled(program.as_text(), program.memory_analysis().temp_size_in_bytes, seconds, ptx)


def _cpu_seconds() -> float:
    """Of this process and of those that it started, as NVIDIA's assembler may be one."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def without_gpu() -> None:
    """Keep what isn't compiled for the device on the CPU. Before JAX starts."""
    jax.config.update("jax_platforms", "cpu")
