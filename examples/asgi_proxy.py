"""A reverse proxy in ten lines: ``uvicorn asgi_proxy:app``; three requests of four go to the first two targets."""

import lbcore
from lbcore.adapters.asgi import ReverseProxy

stable = lbcore.Upstream("stable", ["127.0.0.1:9001", "127.0.0.1:9002"])
canary = lbcore.Upstream("canary", ["127.0.0.1:9003"])
backends = [lbcore.Backend(stable, 75), lbcore.Backend(canary, 25)]
routes = [lbcore.Route("shop", hosts=["shop.example"], path="/", backends=backends)]
app = ReverseProxy(lbcore.Router(routes))
