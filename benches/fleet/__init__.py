"""Fleet simulation: the production engine, in proxies of its own, before simulated servers.  See docs/simulation.md."""
