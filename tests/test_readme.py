"""The Python of the README, of the how-to pages and of the policies' pages runs, and says what the page says it says.

A line that ends in ``# -> VALUE`` is checked: the expression before it has that repr.
"""

import asyncio
import contextlib
import pathlib
import re

import pytest

import lbcore

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
    *sorted((ROOT / "docs" / "policies").glob("*.md")),
]
ADAPTER_PORTS = ("9001", "9002", "9003")


def blocks(page: pathlib.Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)


def checked(source: str) -> str:
    """The source with each ``expression  # -> value`` turned into an assertion."""

    def assertion(line: re.Match) -> str:
        indent, expression, value = line.groups()
        return f"{indent}_shown = repr(({expression.strip()})); assert _shown == {value.strip()!r}, _shown"

    return re.sub(r"^( *)(\S.*?) +# -> (.+)$", assertion, source, flags=re.M)


def run(page: pathlib.Path, source: str, names: dict) -> None:
    exec(compile(checked(source), str(page.relative_to(ROOT)), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_code_of_a_page_runs_from_top_to_bottom(page):
    names = {"send": lambda host, port: None, "lbcore": lbcore, "__name__": "page"}
    for source in blocks(page):
        run(page, source, names)


def test_the_readme_stays_short():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 90
    for source in blocks(ROOT / "README.md"):
        assert len(source.splitlines()) <= 13


def test_the_first_block_balances_as_it_says():
    names = {"send": lambda host, port: None}
    run(ROOT / "README.md", blocks(ROOT / "README.md")[0], names)
    picked = [names["api"].pick().address for _ in range(400)]
    assert (picked.count("10.0.0.1:8080"), picked.count("10.0.0.2:8080")) == (300, 100)


def test_the_gateway_of_the_readme_serves():
    """Its addresses replaced by those of three real servers that answer their own number."""
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("aiohttp")
    source = next(b for b in blocks(ROOT / "README.md") if "ReverseProxy" in b)

    async def answer(number: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(number)}\r\nConnection: close\r\n\r\n{number}".encode()
        )
        await writer.drain()
        writer.close()

    async def scenario() -> list[str]:
        text = source
        async with contextlib.AsyncExitStack() as stack:
            for number in ADAPTER_PORTS:

                async def serve(reader, writer, number=number):
                    await answer(number, reader, writer)

                server = await stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
                text = text.replace(number, str(server.sockets[0].getsockname()[1]))
            names: dict = {}
            exec(text, names)
            transport = httpx.ASGITransport(app=names["app"])
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
                found = [(await client.get("/api/x")).text for _ in range(8)]
                found.append((await client.get("/")).text)
            await names["app"].aclose()
            return found

    answers = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert sorted(answers[:8]) == ["9002"] * 6 + ["9003"] * 2
    assert answers[8] == "9001"
