"""Which deed is which fault."""

from collections.abc import Awaitable, Callable

from tests.faults.schedule import Fault
from tests.faults.striking import broker, clients, network, processes
from tests.faults.striking.scene import Scene

Deed = Callable[[Scene], Awaitable[None]]

DEEDS: dict[Fault, Deed] = {
    Fault.WORKER_KILLED: processes.kill,
    Fault.WORKER_TERMINATED: processes.terminate,
    Fault.WORKER_FROZEN: processes.freeze_shortly,
    Fault.WORKER_ZOMBIE: processes.make_zombie,
    Fault.WORKER_CUT: processes.cut,
    Fault.WORKER_HALF_OPEN: processes.half_open,
    Fault.WORKER_LATE: processes.append_late,
    Fault.WORKER_DELAYED: processes.delay,
    Fault.WORKER_THROTTLED: processes.throttle,
    Fault.FRONT_KILLED: processes.kill,
    Fault.FRONT_TERMINATED: processes.terminate,
    Fault.FRONT_FROZEN: processes.freeze_front,
    Fault.FRONT_CUT: processes.cut,
    Fault.FRONT_HALF_OPEN: processes.half_open,
    Fault.FRONT_DELAYED: processes.delay,
    Fault.FRONT_THROTTLED: processes.throttle,
    Fault.CLIENTS_CUT: network.cut,
    Fault.CLIENTS_HALF_OPEN: network.half_open,
    Fault.CLIENT_RESET_IN_FRAME: network.reset_in_frame,
    Fault.CLIENTS_DELAYED: network.delay,
    Fault.CLIENTS_THROTTLED: network.throttle,
    Fault.CLIENTS_SLICED: network.cut_in_slices,
    Fault.STOPS_READING: clients.stop_reading,
    Fault.RECONNECT_STORM: clients.storm,
    Fault.BAD_JSON: clients.send_bad_json,
    Fault.OVERSIZED_FRAME: clients.send_oversized_frame,
    Fault.UNFINISHED_HANDSHAKE: clients.never_finish_the_handshake,
    Fault.DUPLICATED_IDS: clients.use_ids_twice,
    Fault.FUTURE_OFFSET: clients.ask_from_the_future,
    Fault.FOREIGN_EPOCH: clients.ask_with_a_foreign_epoch,
    Fault.BROKER_KILLED: broker.kill,
    Fault.BROKER_TERMINATED: broker.terminate,
    Fault.BROKER_FROZEN: broker.freeze,
    Fault.BROKER_FROZEN_LONG: broker.freeze_long,
    Fault.CONNECTIONS_CLOSED: broker.close_connections,
    Fault.MEMORY_ALARM: broker.raise_memory_alarm,
    Fault.DISK_ALARM: broker.raise_disk_alarm,
    Fault.CONSUMERS_CANCELLED: broker.cancel_log_consumers,
    Fault.POLICY_CHANGED: broker.change_policy,
    Fault.LEADER_KILLED: broker.kill,
}
