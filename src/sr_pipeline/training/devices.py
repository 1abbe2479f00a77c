"""The devices a training runs on: one, all of this machine, or those of several machines.

The same step runs on every device ("replica") with its share of the batch; gradients are summed, batch normalization
takes its moments over the whole batch. So the result is that of one device, except for the order of additions.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.processor import processor_kind, processor_name


class Devices(NamedTuple):
    """Where a training runs.

    Attributes:
        strategy: of TensorFlow; its scope is where variables have to be made.
        compiled: whether steps are compiled with XLA.
    """

    strategy: tf.distribute.Strategy
    compiled: bool = False

    @property
    def replicas(self) -> int:
        """Devices, of all machines."""
        return int(self.strategy.num_replicas_in_sync)

    def step_function(self, update: Callable[..., dict[str, tf.Tensor]]) -> Callable[..., dict[str, tf.Tensor]]:
        """Trace ``update(hr, lr)`` once; it runs on every device, and what it returns is averaged."""
        if self.replicas == 1:
            return tf.function(update, jit_compile=self.compiled)

        @tf.function
        def step(hr: tf.Tensor, lr: tf.Tensor) -> dict[str, tf.Tensor]:
            of_replicas = self.strategy.run(update, args=(hr, lr))
            return {
                name: self.strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
                for name, value in of_replicas.items()
            }

        return step

    def split(self, batch: NDArray[Any]) -> Any:
        """Give each device its part of a batch; of several machines each takes what its own devices need."""
        if self.replicas == 1:
            return batch
        size = len(batch) // self.replicas

        def part(context: tf.distribute.InputContext) -> tf.Tensor:
            first = context.replica_id_in_sync_group * size
            return tf.constant(batch[first : first + size])

        return self.strategy.experimental_distribute_values_from_function(part)

    def describe(self) -> str:
        """What trains, such as ``1 x NVIDIA H100`` or ``1 x AMD EPYC (CPU)``."""
        name = self.kind if tf.config.list_physical_devices("GPU") else f"{processor_name()} (CPU)"
        return f"{self.replicas} x {name}"

    @property
    def kind(self) -> str:
        """The kind of processor or GPU: trainings of one kind with as many threads have equal bytes."""
        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))
        return processor_kind()

    def check_batch_size(self, batch_size: int) -> None:
        """Raise a UserError unless the devices can share a batch evenly."""
        if batch_size % self.replicas:
            raise UserError(
                f"{self.replicas} devices cannot share batches of {batch_size} evenly; set recipes.<name>.batch_size "
                f"to a multiple of {self.replicas}"
            )


def open_devices(distribute: str) -> Devices:
    """Set up the devices, before anything else of TensorFlow.

    Args:
        distribute: ``none`` (the first device), ``mirrored`` (all GPUs of this machine, or all its CPU devices), or
            ``multi_worker`` (all machines that TF_CONFIG names; waits for them). Where that is a single device, both
            are as ``none``.

    Raises:
        UserError: if ``multi_worker`` is asked for without TF_CONFIG.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        tf.config.experimental.enable_op_determinism()  # CPU operations are deterministic anyway
    alone = Devices(tf.distribute.get_strategy(), compiled=bool(gpus))
    if distribute == "mirrored":
        devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
        if len(devices) > 1:
            return Devices(tf.distribute.MirroredStrategy([device.name for device in devices]))
        return alone
    if distribute == "multi_worker":
        if "TF_CONFIG" not in os.environ:
            raise UserError(
                "train.distribute=multi_worker needs the environment variable TF_CONFIG, which names the machines: "
                "see docs/devices.md"
            )
        together = Devices(tf.distribute.MultiWorkerMirroredStrategy())
        return together if together.replicas > 1 else alone
    return alone
