# -*- coding: utf-8 -*-
"""Runs Autobahn's fuzzing server on 127.0.0.1. For Python 2.7, like the Autobahn test suite.

usage: server.py PACKAGES PORT REPORTS CASE[,CASE...]
"""
import json
import os
import site
import sys

packages, port, reports, cases = sys.argv[1:5]
# Reads the `.pth` files too, without which some of the packages cannot be imported.
site.addsitedir(packages)

from twisted.internet import reactor

listen = reactor.listenTCP


def listen_on_loopback(port, factory, backlog=50, interface=""):
    return listen(port, factory, backlog, "127.0.0.1")


# By itself the server listens on every interface.
reactor.listenTCP = listen_on_loopback

spec = os.path.join(reports, "spec.json")
with open(spec, "w") as file:
    json.dump({
        "url": "ws://127.0.0.1:" + port,
        "outdir": reports,
        "cases": cases.split(","),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }, file)

# Port 0 turns the web server off.
sys.argv = ["wstest", "-m", "fuzzingserver", "-s", spec, "-u", "0"]
from autobahntestsuite.wstest import run

run()
