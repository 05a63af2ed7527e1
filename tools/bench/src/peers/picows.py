"""The Python client that hoga-bench measures: picows and orjson, the newest message of each market in a dict.

It writes the number of messages that it has read to the first eight bytes of a file, which hoga-bench reads.
"""

import asyncio
import contextlib
import mmap
import os
import signal
import ssl
import sys

import orjson
from picows import WSListener, WSMsgType, ws_connect

URL, REQUEST, CERTIFICATE, COUNTER, CORE = sys.argv[1:]


class Client(WSListener):
    def __init__(self):
        with open(COUNTER, "r+b") as file:
            # Writes whole words: struct.pack_into would zero the bytes first, and the strategy could see that.
            self.counter = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
        self.count = 0
        self.newest = {}
        self.ended = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport):
        transport.send(WSMsgType.TEXT, REQUEST.encode())

    def on_ws_frame(self, transport, frame):
        message = orjson.loads(frame.get_payload_as_memoryview())
        self.newest[message["code"]] = message
        self.count += 1
        self.counter[0] = self.count

    def on_ws_disconnected(self, transport):
        self.ended.set_result(None)


async def follow():
    tls = ssl.create_default_context(cadata=CERTIFICATE) if URL.startswith("wss:") else None
    _, client = await ws_connect(Client, URL, ssl_context=tls)
    await client.ended


# The process ends when the feeder closes the connection, even if Ctrl-C interrupts the benchmark.
signal.signal(signal.SIGINT, signal.SIG_IGN)
with contextlib.suppress(OSError):
    os.sched_setaffinity(0, {int(CORE)})
try:
    from uvloop import run
except ImportError:
    from asyncio import run
run(follow())
