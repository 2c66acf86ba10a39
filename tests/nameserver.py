"""A name server on loopback, UDP and TCP, whose zone tests change as they go."""

import asyncio
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset


class Zone:
    """Records by (name, kind) as ``(ttl, [text, ...])``; ``asked`` is every question with its transport.

    A name without any record does not exist.  ``rcodes``: what a (name, kind) or a name is answered instead;
    ``silent``: those that are not answered at all; ``soa_ttl`` None leaves the SOA out of empty answers.
    """

    def __init__(self, records=None):
        self.records = dict(records or {})
        self.rcodes = {}
        self.silent = set()
        self.soa_ttl = 60
        self.asked = []

    def answer(self, wire, transport):
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, transport))
        if name in self.silent or (name, kind) in self.silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        rcode = self.rcodes.get((name, kind), self.rcodes.get(name))
        if rcode:
            response.set_rcode(dns.rcode.from_text(rcode))
            return response.to_wire()
        self._fill(response, question.name, name, kind)
        if transport == "udp":
            try:
                return response.to_wire(max_size=512)
            except dns.exception.TooBig:
                cut = dns.message.make_response(query, recursion_available=True)
                cut.flags |= dns.flags.TC
                return cut.to_wire()
        return response.to_wire()

    def _fill(self, response, owner, name, kind):
        while (name, "CNAME") in self.records:
            ttl, (target,) = self.records[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(owner, ttl, "IN", "CNAME", target + "."))
            name, owner = target, dns.name.from_text(target)
        ttl, texts = self.records.get((name, kind), (0, []))
        if texts:
            response.answer.append(dns.rrset.from_text_list(owner, ttl, "IN", kind, texts))
            return
        if not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if self.soa_ttl is not None:
            soa = f"ns.test. admin.test. 1 3600 600 86400 {self.soa_ttl}"
            response.authority.append(dns.rrset.from_text("test.", self.soa_ttl, "IN", "SOA", soa))


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, zone):
        self.zone = zone

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, client):
        if (answer := self.zone.answer(data, "udp")) is not None:
            self.transport.sendto(answer, client)


@asynccontextmanager
async def serving(zone):
    """Yields ``127.0.0.1:port``."""

    async def tcp(reader, writer):
        try:
            size = int.from_bytes(await reader.readexactly(2))
            answer = zone.answer(await reader.readexactly(size), "tcp")
            if answer is not None:
                writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    for _ in range(20):  # a port that is free for both
        server = await asyncio.start_server(tcp, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(zone), local_addr=("127.0.0.1", port))
            break
        except OSError:
            server.close()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        udp.close()
        server.close()


def ask(zone, *sources):
    """The answers, or the errors, of sources that ``sources`` make of the server's address, in turn."""

    async def scenario():
        async with serving(zone) as address:
            return [await _outcome(make(address)) for make in sources]

    return asyncio.run(scenario())


async def _outcome(source):
    try:
        return await source.resolve()
    except Exception as error:
        return error
