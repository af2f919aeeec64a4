"""A server whose clients come and go: one stream, a row for each client, and states that are kept between connections.

    python examples/streaming/server.py

Starts the server on a local port, and clients that connect, send numbers, hang up, and connect again. Every
answer has the bits of a stream that serves this client alone.

A line is JSON: first {"client": "ann"}, then {"x": [...]} for each step, answered by {"y": [...]}.
"""

import asyncio
import json
import random
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import ostinato

FEATURES, OUTPUTS, STEPS = 3, 2, 40


class Model(nn.Module):
    """x [T, B, 3] → y [T, B, 2]. A trained one would be loaded here."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = ostinato.GRU(FEATURES, 32), nn.Linear(32, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


@dataclass
class Server:
    """Rows of `stream` belong to the clients in `present`, in this order. `saved`: the states of those who left."""

    stream: ostinato.Stream
    present: list[str] = field(default_factory=list)
    saved: dict[str, bytes] = field(default_factory=dict)
    waiting: dict[str, tuple[list[float], asyncio.Future[list[float]]]] = field(default_factory=dict)

    def join(self, client: str) -> None:
        """A row for a client: from its saved state, or from the beginning."""
        rows = self.stream.join()
        self.present.append(client)
        if client in self.saved:
            self.stream.load(ostinato.State.from_bytes(self.saved.pop(client)), rows=rows)

    def leave(self, client: str) -> None:
        """Keeps the client's state and gives its row up. The bytes could as well go to a database."""
        row = self.present.index(client)
        self.saved[client] = self.stream.state(rows=[row]).to_bytes()
        self.stream.leave([row])  # the rows behind it move up, as in the list
        del self.present[row]

    async def answer(self, client: str, x: list[float]) -> list[float]:
        """One step of one client. Those who ask at the same time are answered by one call."""
        if len(x) != FEATURES:
            raise ValueError(f"{client} must send {FEATURES} numbers, got {len(x)}")
        result: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self.waiting[client] = (x, result)
        if len(self.waiting) == 1:
            asyncio.get_running_loop().call_soon(self.step)
        return await result

    def step(self) -> None:
        """A step of all clients that wait. A step runs every row, so those of the others are put back."""
        asked, self.waiting = self.waiting, {}
        idle = [row for row, client in enumerate(self.present) if client not in asked]
        before = self.stream.state(rows=idle)
        self.stream.input.zero_()
        for row, client in enumerate(self.present):
            if client in asked:
                self.stream.input[row] = torch.tensor(asked[client][0])
        y = self.stream.step()
        if idle:
            self.stream.load(before, rows=idle)
        for row, client in enumerate(self.present):
            if client in asked and not asked[client][1].done():
                asked[client][1].set_result(y[row].tolist())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        client = json.loads(await reader.readline())["client"]
        if client in self.present:  # one state cannot follow two connections
            writer.close()
            return
        self.join(client)
        try:
            while line := await reader.readline():
                y = await self.answer(client, json.loads(line)["x"])
                writer.write(json.dumps({"y": y}).encode() + b"\n")
                await writer.drain()
        finally:
            self.leave(client)
            writer.close()


async def visit(port: int, client: str, xs: list[list[float]]) -> list[list[float]]:
    """A connection of a client that sends these steps and hangs up; returns the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(json.dumps({"client": client}).encode() + b"\n")
        ys = []
        for x in xs:
            writer.write(json.dumps({"x": x}).encode() + b"\n")
            line = await reader.readline()
            if not line:
                raise ConnectionError(f"the server refused {client}")
            ys.append(json.loads(line)["y"])
        return ys
    finally:
        writer.close()
        await writer.wait_closed()


async def client(port: int, server: Server, name: str, xs: list[list[float]]) -> list[list[float]]:
    """Sends its steps in three connections of random lengths."""
    draw = random.Random(name)
    cuts = sorted(draw.sample(range(1, STEPS), 2))
    ys = []
    for first, last in zip([0, *cuts], [*cuts, STEPS]):
        await asyncio.sleep(draw.random() / 50)
        ys += await visit(port, name, xs[first:last])
        while name in server.present:  # until the server has noticed that the client hung up
            await asyncio.sleep(0.001)
    return ys


async def run(names: list[str]) -> dict[str, bool]:
    """Client → whether its answers have the bits of a stream of its own."""
    torch.manual_seed(0)
    model = Model().eval()
    server = Server(ostinato.stream(model, rows=0))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    xs = {name: torch.randn(STEPS, FEATURES) for name in names}
    async with listening:
        ys = await asyncio.gather(*(client(port, server, name, xs[name].tolist()) for name in names))
    equal = {}
    for name, found in zip(names, ys):
        alone = ostinato.stream(model)
        equal[name] = torch.equal(torch.tensor(found), alone.push(xs[name]))
        state = len(server.saved[name])
        print(f"{name}: {STEPS} steps in three visits, the bits of a stream alone: {equal[name]}; state {state} bytes")
    return equal


def main() -> dict[str, bool]:
    """Server and clients in one process; returns for each client whether its answers are right."""
    return asyncio.run(run(["ann", "bob", "cyd", "dee"]))


if __name__ == "__main__":
    main()
