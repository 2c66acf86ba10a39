"""The engine in other people's frameworks; one module each, imported by those who use it.

``http``      an HTTP/1.1 reverse proxy on aiohttp (server and client)
``stream``    a TCP proxy on asyncio
``datagram``  a UDP proxy on asyncio
``asgi``      a reverse proxy as an ASGI application

``_relay`` is what the two HTTP proxies share: the way from a request to the end of its response.
"""
