# -*- coding: utf-8 -*-
"""Prints the verdicts of Autobahn. Exits with 1 if a case has failed or is missing. For Python 2.7.

usage: report.py INDEX AGENT COUNT
"""
import json
import sys

index, agent, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(index) as file:
    cases = json.load(file)[agent]

# "NON-STRICT" is allowed by the RFC, and "INFORMATIONAL" has no expected behavior.
TOLERATED = ("OK", "NON-STRICT", "INFORMATIONAL")

verdicts = {}
failed = []
for number in sorted(cases, key=lambda number: [int(part) for part in number.split(".")]):
    case = cases[number]
    verdict = case["behavior"]
    verdicts[verdict] = verdicts.get(verdict, 0) + 1
    if verdict not in TOLERATED or case["behaviorClose"] not in TOLERATED:
        failed.append("case %s: %s, close: %s" % (number, verdict, case["behaviorClose"]))

print("Autobahn: %d cases: %s" % (len(cases), ", ".join("%d %s" % (verdicts[name], name) for name in sorted(verdicts))))
for line in failed:
    print("FAILED: " + line)
if len(cases) != count:
    print("FAILED: %d cases were run, %d are in the report" % (count, len(cases)))
if failed or len(cases) != count or not cases:
    sys.exit(1)
