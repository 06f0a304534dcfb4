"""One supervised AMQP connection, and the translation of its errors.

aio-pika's plain connection, not its robust one: that reopens channels and consumers by itself
after a constant five seconds, while a log has to be resumed where it stopped and a partition has
to be taken anew. So a lost connection ends everything that was open on it, each user is told by
BrokerUnavailable, and opens again what it wants.

Rules: `translating_amqp_errors` is the border; nothing of the client library's passes it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel
from aiormq.abc import AbstractConnection as AmqpConnection
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
)

from broker.errors import BrokerUnavailable, SubmitRefused, TopologyProblem
from broker.rabbitmq.settings import RabbitSettings

_log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 5.0
_OPEN_SECONDS = 5.0
"""How long whoever opens something waits for the connection."""
_CLOSE_SECONDS = 2.0

_OLDEST = (3, 10)

# Jittered, so that the processes of a deployment do not come back in step; the upper end keeps
# everything going again within seconds of the broker's return.
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

# Said for a while by a node that is still starting, and now and then right after a stream was
# declared: another try is right, not another topology.
_PASSING = (
    "down or inaccessible",
    "replica on the local node",  # "does not have a replica", from 4.0 on "a running replica"
    "not available",
    "timed out",
)


# A message over the broker's max_message_size: sent again it would be refused again.
_TOO_LARGE = "larger than"


@contextmanager
def translating_amqp_errors() -> Iterator[None]:
    """Raise broker.errors instead of the client library's.

    Raises:
        SubmitRefused: basic.nack, basic.return of an unroutable message, or one that is too large.
        TopologyProblem: 404, 406 or 403: what is asked for is not there, not as it should be, or
            not for us.
        BrokerUnavailable: all else.
    """
    try:
        yield
    except DeliveryError as error:
        raise SubmitRefused(str(error) or "refused by the broker") from error
    except (ChannelNotFoundEntity, ChannelPreconditionFailed, ChannelAccessRefused) as error:
        text = str(error)
        if _TOO_LARGE in text:
            raise SubmitRefused(text) from error
        if any(passing in text for passing in _PASSING):
            raise BrokerUnavailable(text) from error
        raise TopologyProblem(
            f"RabbitMQ says: {text}", "Run 'forebay topology apply' as an administrator"
        ) from error
    # ChannelInvalidStateError is a RuntimeError; OSError covers TimeoutError, DNS and sockets. And
    # StopAsyncIteration is what the client library's connect raises if the other end closed before
    # it said anything, as a TCP balancer does whose broker is away.
    except (AMQPError, ChannelInvalidStateError, StopAsyncIteration, OSError) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
    except asyncio.CancelledError as error:
        # The client library cancels what waits on a channel that closes. Whoever cancels us
        # for real has said so to the task.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailable("the AMQP channel was closed") from error


class Link:
    """Keeps one AMQP connection up."""

    def __init__(self, settings: RabbitSettings, purpose: str) -> None:
        self._settings = settings
        self._name = f"{settings.connection_name} {purpose}"
        self._connection: AbstractConnection | None = None
        self._is_up = asyncio.Event()
        self._first_error: TopologyProblem | None = None
        self._has_been_up = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._open_connection() is not None

    def _open_connection(self) -> AmqpConnection | None:
        transport = self._connection.transport if self._connection else None
        if transport is None or transport.connection.is_closed:
            return None
        return transport.connection

    @property
    def is_blocked(self) -> bool:
        """Whether the broker has said that it will not read what is published now.

        RabbitMQ's connection.blocked. The client library tells of it only by what waits until it
        is over, so that is begun here, and not waited for.
        """
        connection = self._open_connection()
        if connection is None:
            return False
        waiting = connection.ready()
        try:
            waiting.send(None)
        except StopIteration:
            return False
        waiting.close()
        return True

    async def run(self) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled."""
        urls = list(self._settings.urls)
        random.shuffle(urls)
        attempt = 0
        while True:
            url = urls[attempt % len(urls)]
            try:
                async with self._connected(url) as lost:
                    attempt = 0
                    await lost.wait()
                _log.warning("broker connection lost", connection=self._name)
            except BrokerUnavailable as error:
                attempt += 1
                _log.warning("broker not reached", connection=self._name, reason=str(error))
            longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(attempt, 10))
            await asyncio.sleep(random.uniform(longest / 4, longest))

    @asynccontextmanager
    async def _connected(self, url: str) -> AsyncIterator[asyncio.Event]:
        lost = asyncio.Event()
        connection = await self._connect(url)
        self._first_error = None
        connection.close_callbacks.add(lambda *_: lost.set())
        self._connection = connection
        self._has_been_up = True
        self._is_up.set()
        try:
            yield lost
        finally:
            self._is_up.clear()
            self._connection = None
            await _close(connection)

    async def _connect(self, url: str) -> AbstractConnection:
        try:
            with translating_amqp_errors():
                connection = await aio_pika.connect(
                    url,
                    timeout=_CONNECT_SECONDS,
                    heartbeat=self._settings.heartbeat_seconds,
                    client_properties={"connection_name": self._name},
                )
        except ValueError as error:
            raise TopologyProblem(
                f"{without_password(url)} is no AMQP URL ({error})", "Check rabbitmq.url"
            ) from error
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, AuthenticationError | ProbableAuthenticationError):
                self._note(refused_user(url))
            raise
        try:
            check_version(connection)
        except TopologyProblem as problem:
            self._note(problem)
            await _close(connection)
            raise BrokerUnavailable(str(problem)) from problem
        return connection

    def _note(self, problem: TopologyProblem) -> None:
        """Whoever opens a channel is told, but not of what may pass: a password being changed."""
        if not self._has_been_up:
            self._first_error = problem

    async def open_channel(self, *, with_confirms: bool) -> AbstractChannel:
        """Open an AMQP channel of one's own, waiting a little for the connection.

        Raises:
            BrokerUnavailable: there is none.
            TopologyProblem: the broker does not let us in.
        """
        with translating_amqp_errors():
            async with asyncio.timeout(_OPEN_SECONDS):
                # Not aio-pika's channel object: it adds a task and an object to each message.
                return await (await self._wait_until_up()).channel(
                    publisher_confirms=with_confirms, on_return_raises=with_confirms
                )

    async def _wait_until_up(self) -> AmqpConnection:
        try:
            await self._is_up.wait()
            # The client library has closed a lost connection some turns of the loop before `run`
            # hears of it, and answers who opens a channel meanwhile with a bare RuntimeError.
            while (connection := self._open_connection()) is None:
                await asyncio.sleep(0)
                await self._is_up.wait()
        except asyncio.CancelledError:
            if self._first_error is not None:
                raise self._first_error from None
            raise
        return connection


async def _close(connection: AbstractConnection) -> None:
    with suppress(BrokerUnavailable, TimeoutError), translating_amqp_errors():
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.close()


async def close_channel(channel: AbstractChannel) -> None:
    """Close an AMQP channel; what it had not settled goes back in its place."""
    with suppress(BrokerUnavailable, TopologyProblem), translating_amqp_errors():
        async with asyncio.timeout(_CLOSE_SECONDS):
            await channel.close()


def refused_user(url: str) -> TopologyProblem:
    """What is said of a URL whose user, password or virtual host RabbitMQ does not accept."""
    return TopologyProblem(
        f"RabbitMQ refuses the user or the virtual host of {without_password(url)}",
        "Check rabbitmq.url, and that 'forebay topology apply' has made the users",
    )


def check_version(connection: AbstractConnection) -> None:
    """Check that a server knows streams as they are used here.

    Raises:
        TopologyProblem: it is too old.
    """
    transport = connection.transport
    properties = transport.connection.server_properties if transport else {}
    version = properties.get("version", "")
    version = version.decode() if isinstance(version, bytes) else str(version)
    if read_version(version) < _OLDEST:
        raise TopologyProblem(
            f"RabbitMQ {version or 'of an unknown version'} is too old",
            "Install 3.10 or newer: Forebay needs its streams",
        )


def read_version(text: str) -> tuple[int, ...]:
    """Read the first two numbers of a version."""
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def without_password(url: str) -> str:
    """An AMQP URL as it may be shown."""
    scheme, _, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}://{credentials.partition(':')[0]}{at}{place}"
