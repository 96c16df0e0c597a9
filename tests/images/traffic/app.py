"""Answers with `$WHO` in each response: `/` at once, `/slow?SECONDS` later, a POST with what arrived, `/events` with a
stream of server-sent events, `/ws` with a websocket that echoes. `$MUTE` never listens, `$KEEP_ALIVE` (seconds) is how
long an idle connection is kept. On SIGTERM it says goodbye on open streams and waits for requests to end."""

import asyncio
import base64
import contextlib
import hashlib
import os
import signal
import socket
import struct

WHO = os.environ.get("WHO", "")
RELEASE = os.environ.get("PAAS_RELEASE", "")
HOST = socket.gethostname()
KEEP_ALIVE = float(os.environ.get("KEEP_ALIVE", "75"))
EVENT_SECONDS = 0.2
CHUNK = 256 * 1024
WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 1, 8
GOING_AWAY = 1001

ending = asyncio.Event()


async def serve(reader, writer):
    with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
        while await answer(reader, writer):
            pass
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def answer(reader, writer):
    """One request; False when the connection is over."""
    line = await asyncio.wait_for(reader.readline(), KEEP_ALIVE)
    if not line:
        return False
    method, target, _ = line.decode().split()
    headers = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    path, _, query = target.partition("?")
    if path == "/ws":
        return await websocket(reader, writer, headers)
    if path == "/events":
        return await events(writer)
    digest, length = hashlib.sha256(), int(headers.get("content-length", 0))
    left = length
    while left:
        data = await reader.read(min(left, CHUNK))
        if not data:
            return False
        digest.update(data)
        left -= len(data)
    if path == "/slow":
        await asyncio.sleep(float(query))
    body = f"{WHO} {method} {length} {digest.hexdigest()}\n".encode()
    close = "connection: close\r\n" if ending.is_set() else ""
    head = f"HTTP/1.1 200 OK\r\nx-who: {WHO}\r\nx-host: {HOST}\r\ncontent-length: {len(body)}\r\n{close}\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return not close and headers.get("connection", "").lower() != "close"


async def events(writer):
    head = f"HTTP/1.1 200 OK\r\nx-who: {WHO}\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    number = 0
    while not ending.is_set():
        event = f"data: {number}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
        number += 1
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ending.wait(), EVENT_SECONDS)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return False


async def websocket(reader, writer, headers):
    key = headers["sec-websocket-key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET, usedforsecurity=False).digest()).decode()
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        f"x-who: {WHO}\r\nsec-websocket-accept: {accept}\r\n\r\n".encode()
    )
    echo, end = asyncio.ensure_future(echoes(reader, writer)), asyncio.ensure_future(ending.wait())
    await asyncio.wait({echo, end}, return_when=asyncio.FIRST_COMPLETED)
    end.cancel()
    if not echo.done():
        writer.write(frame(CLOSE, struct.pack("!H", GOING_AWAY)))
        await writer.drain()
        # The other side answers with its own, and then the connection is ours to close.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(echo, 2)
    return False


async def echoes(reader, writer):
    with contextlib.suppress(OSError, EOFError):
        while True:
            first, second = await reader.readexactly(2)
            mask, data = await reader.readexactly(4), await reader.readexactly(second & 0x7F)
            data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
            if first & 0xF == CLOSE:
                if not ending.is_set():
                    writer.write(frame(CLOSE, data))
                return
            if not ending.is_set():  # after a goodbye there is nothing to say
                writer.write(frame(TEXT, data))
                await writer.drain()


def frame(kind, data):
    return bytes([0x80 | kind, len(data)]) + data


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    if "MUTE" in os.environ:
        await ending.wait()
        return
    server = await asyncio.start_server(serve, "", int(os.environ.get("PORT", "5000")), backlog=1024)
    await ending.wait()
    server.close()
    busy = asyncio.all_tasks() - {asyncio.current_task()}
    if busy:
        await asyncio.wait(busy, timeout=5)


asyncio.run(main())
