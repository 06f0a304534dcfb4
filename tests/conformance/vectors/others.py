"""The other commands: rpc, send, presence, ping, and what is no method."""

from tests.conformance.vector import ask, error

VECTORS = (
    ask("an rpc is error 108", '{"id":2,"rpc":{"method":"m","data":{}}}', error(2, 108)),
    ask(
        "an rpc of a method with a name of 256 bytes is error 107",
        '{"id":2,"rpc":{"method":"' + "m" * 256 + '"}}',
        error(2, 107),
    ),
    ask(
        "an rpc of a method with a line break in its name is error 107",
        '{"id":2,"rpc":{"method":"a\\nb"}}',
        error(2, 107),
    ),
    ask(
        "an rpc with a number beyond all numbers is error 107",
        '{"id":2,"rpc":{"method":"m","data":1e999}}',
        error(2, 107),
    ),
    ask("a send without an id ends the session", '{"send":{"data":1}}', close=3508),
    ask("a send with an id ends the session", '{"id":2,"send":{"data":1}}', close=3508),
    ask("a ping by the client ends the session", '{"id":2,"ping":{}}', close=3501),
    ask("a pong is taken", "{}"),
    ask("a pong that was not asked for is taken", "{}\n{}\n{}"),
    ask("a command with id 0 counts as a pong", '{"id":0,"rpc":{}}'),
    ask("a command without an id counts as a pong", '{"subscribe":{"channel":"c"}}'),
    ask("an unknown method ends the session", '{"id":2,"dance":{}}', close=3501),
    ask("an id without a method ends the session", '{"id":2}', close=3501),
    ask("two methods in one command end the session", '{"id":2,"rpc":{},"history":{}}', close=3501),
    ask("a method that is null is none", '{"id":2,"rpc":null}', close=3501),
    ask("a method that is no object ends the session", '{"id":2,"rpc":5}', close=3501),
    ask("a negative id ends the session", '{"id":-2,"rpc":{}}', close=3501),
    ask("an id over 32 bits ends the session", '{"id":4294967296,"rpc":{}}', close=3501),
    ask("the largest id is fine", '{"id":4294967295,"rpc":{}}', error(4294967295, 108)),
    ask("an id of text ends the session", '{"id":"2","rpc":{}}', close=3501),
    ask("an id with a fraction ends the session", '{"id":2.5,"rpc":{}}', close=3501),
    ask("an id of 5,000 digits ends the session", '{"id":' + "9" * 5000 + ',"rpc":{}}', close=3501),
    ask(
        "an id that comes again is answered again",
        '{"id":2,"rpc":{}}\n{"id":2,"rpc":{}}',
        error(2, 108),
        error(2, 108),
    ),
    ask("of an id given twice the last counts", '{"id":2,"id":3,"rpc":{}}', error(3, 108)),
    ask("of a method given twice the last counts", '{"id":2,"rpc":{},"rpc":{}}', error(2, 108)),
    ask(
        "fields of tomorrow are ignored", '{"id":2,"x":[{}],"rpc":{"y":{"z":null}}}', error(2, 108)
    ),
    ask(
        "nulls for what is optional are what is left out",
        '{"id":2,"rpc":{"method":null}}',
        error(2, 108),
    ),
)
