#!/usr/bin/env python3
"""client.py LIBRARY BOOTSTRAP SCENARIO [ARGUMENT…]: runs one scenario with one Python library.

Prints JSON lines, the last with "passed"; exits 0 if it passed, else 1.
LIBRARY: confluent | confluent-old | kafka-python | aiokafka.  SCENARIO: a function of scenarios.py, `transactions`,
or with confluent `soak-topics`, `soak HISTORY` and those of views.py.
"""

import importlib
import json
import sys
import traceback

from scenarios import SCENARIOS
from transactions import transactions

LIBRARIES = {
    "confluent": "librdkafka",
    "confluent-old": "librdkafka",
    "kafka-python": "kafka_python",
    "aiokafka": "aio",
}


def main() -> int:
    library, bootstrap, scenario, *arguments = sys.argv[1:]

    def say(**fields):
        print(json.dumps({"client": library, "scenario": scenario, **fields}), flush=True)

    try:
        client = importlib.import_module(LIBRARIES[library]).Client(bootstrap)
        if scenario.startswith("soak"):
            import soak  # Of confluent-kafka alone.

            SCENARIOS.update({"soak": soak.soak, "soak-topics": soak.soak_topics})
        if scenario == "rare-view" or scenario.startswith("view-"):
            import views  # Of confluent-kafka alone, too.

            SCENARIOS.update(views.SCENARIOS)
        {**SCENARIOS, "transactions": transactions}[scenario](client, say, *arguments)
        client.close()
    except Exception as error:
        say(passed=False, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        return 1
    say(passed=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
