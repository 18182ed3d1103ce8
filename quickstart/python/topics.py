"""Makes the two topics: `orders`, an append table kept in the lake, and `orders_by_id`, keyed."""

import json
import sys

from confluent_kafka.admin import AdminClient, NewTopic

import orders
from tally import tell

bootstrap, partitions, lake_lag_ms = sys.argv[1], int(sys.argv[2]), sys.argv[3]
typed = {"tidelog.table.mode": "inline", "tidelog.table.schema": json.dumps(orders.SCHEMA)}
topics = [
    NewTopic(
        "orders",
        num_partitions=partitions,
        config={**typed, "tidelog.lake.enable": "true", "tidelog.lake.target.lag.ms": lake_lag_ms},
    ),
    NewTopic("orders_by_id", num_partitions=2, config={**typed, "tidelog.table.key": "record_key"}),
]
admin = AdminClient({"bootstrap.servers": bootstrap})
for name, made in admin.create_topics(topics).items():
    try:
        made.result()
    except Exception as error:
        sys.exit(f"topic {name}: {error}")
tell(columns=len(orders.SCHEMA["fields"]))
