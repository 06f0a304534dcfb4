"""The example session of the protocol's description, frame by frame."""

from tests.conformance.vector import ABSENT, ANY, Vector, error, turn

VECTORS = (
    Vector(
        "the example session goes as it is written",
        (
            turn(
                '{"id":1,"connect":{"name":"js"}}',
                {"id": 1, "connect": {"client": ANY, "version": ANY, "ping": 25, "pong": True}},
            ),
            turn(
                '{"id":2,"subscribe":{"channel":"example-news","flag":1}}\n'
                '{"id":3,"subscribe":{"channel":"example-chat","recover":true,"epoch":"","offset":0,'
                '"flag":1}}',
                {"id": 2, "subscribe": {"recoverable": True, "positioned": True, "epoch": ANY}},
                {
                    "id": 3,
                    "subscribe": {
                        "recoverable": True,
                        "positioned": True,
                        "recovered": True,
                        "was_recovering": True,
                        "publications": ABSENT,
                    },
                },
            ),
            turn(
                '{"id":4,"publish":{"channel":"example-pub","data":{"x":1}}}',
                {"id": 4, "publish": {}},
            ),
            turn("{}"),
            turn('{"id":5,"rpc":{}}', error(5, 108)),
        ),
        None,
        None,
    ),
)
