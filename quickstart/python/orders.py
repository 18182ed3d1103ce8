"""The orders of the demonstration: realistic, and the same for a seed wherever they are made."""

import json
import random

SCHEMA = {
    "fields": [
        {"name": "order_id", "type": "long", "nullable": False},
        {"name": "placed_at", "type": "timestamp(ms)", "nullable": False},
        {"name": "status", "type": "string", "nullable": False},
        {"name": "channel", "type": "string"},
        {"name": "customer_id", "type": "long", "nullable": False},
        {"name": "customer_name", "type": "string"},
        {"name": "email", "type": "string"},
        {"name": "country", "type": "string"},
        {"name": "city", "type": "string"},
        {"name": "postcode", "type": "string"},
        {"name": "sku", "type": "string", "nullable": False},
        {"name": "product", "type": "string"},
        {"name": "category", "type": "string"},
        {"name": "quantity", "type": "int", "nullable": False},
        {"name": "unit_price", "type": "decimal(10,2)", "nullable": False},
        {"name": "discount", "type": "decimal(10,2)"},
        {"name": "shipping", "type": "decimal(10,2)"},
        {"name": "tax", "type": "decimal(10,2)"},
        {"name": "total", "type": "decimal(12,2)", "nullable": False},
        {"name": "currency", "type": "string"},
        {"name": "payment", "type": "string"},
        {"name": "coupon", "type": "string"},
        {"name": "is_gift", "type": "bool"},
        {"name": "weight_kg", "type": "double"},
        {"name": "tags", "type": {"list": "string"}},
        {"name": "note", "type": "string"},
    ]
}

STATUSES = ("placed", "paid", "packed", "shipped", "delivered")
CHANNELS = ("web", "web", "ios", "android", "store", "partner")
PAYMENTS = ("card", "card", "paypal", "invoice", "gift card")
FIRST = ("Ada", "Bao", "Chiara", "Dmitri", "Elif", "Fatou", "Grace", "Hana", "Ines", "Jonas", "Kofi", "Lena")
LAST = ("Abe", "Bauer", "Costa", "Diallo", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Kim", "Lopez")
CITIES = (
    ("DE", "Berlin", "EUR"), ("DE", "Köln", "EUR"), ("FR", "Lyon", "EUR"), ("ES", "València", "EUR"),
    ("GB", "Leeds", "GBP"), ("US", "Austin", "USD"), ("US", "Portland", "USD"), ("JP", "大阪", "JPY"),
)
PRODUCTS = (
    ("kettle", "kitchen", 3499, 1.1), ("pan 28 cm", "kitchen", 4590, 1.9), ("desk lamp", "home", 2950, 0.8),
    ("wool blanket", "home", 7900, 1.4), ("running shoes", "sport", 11995, 0.7), ("yoga mat", "sport", 2499, 1.2),
    ("headphones", "audio", 8900, 0.3), ("record player", "audio", 24900, 5.6), ("field guide", "books", 1850, 0.4),
)
NOTES = ("leave at the door", "ring twice", "please wrap as a gift; no invoice inside", "call before delivery")
TAGS = ("new", "returning", "priority", "fragile", "bulk", "staff pick")
FIRST_MOMENT_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def make(chance, number, status=None):
    """Order `number`, its chances drawn from `chance`."""
    draw = chance.random
    customer = int(draw() * 40_000)
    country, city, currency = CITIES[customer % len(CITIES)]
    first, last = FIRST[customer % 12], LAST[customer // 12 % 12]
    product = int(draw() * len(PRODUCTS))
    name, category, cents, weight = PRODUCTS[product]
    quantity = 1 + int(draw() * draw() * 8)
    discount = int(cents * quantity * 0.1) if draw() < 0.2 else 0
    shipping = 0 if cents * quantity > 5000 else 490
    tax = int((cents * quantity - discount) * 0.19)
    return {
        "order_id": number,
        "placed_at": FIRST_MOMENT_MS + number * 37 + int(draw() * 37),
        "status": status or STATUSES[int(draw() * len(STATUSES))],
        "channel": CHANNELS[int(draw() * len(CHANNELS))],
        "customer_id": 100_000 + customer,
        "customer_name": f"{first} {last}",
        "email": f"{first}.{last}.{customer}@example.com".lower(),
        "country": country,
        "city": city,
        "postcode": f"{10_000 + customer * 7 % 90_000}",
        "sku": f"{category[:3].upper()}-{product:03}-{int(draw() * 12):02}",
        "product": name,
        "category": category,
        "quantity": quantity,
        "unit_price": cents / 100,
        "discount": discount / 100,
        "shipping": shipping / 100,
        "tax": tax / 100,
        "total": (cents * quantity - discount + shipping + tax) / 100,
        "currency": currency,
        "payment": PAYMENTS[int(draw() * len(PAYMENTS))],
        "coupon": f"SAVE-{int(draw() * 1e6):06}" if discount else None,
        "is_gift": draw() < 0.08,
        "weight_kg": round(weight * quantity, 3),
        "tags": [tag for tag in TAGS if draw() < 0.2],
        "note": NOTES[int(draw() * len(NOTES))] if draw() < 0.1 else None,
    }


def record(order):
    """Key and value of an order's record."""
    return str(order["order_id"]).encode(), json.dumps(order, ensure_ascii=False).encode()


def placed(seed, first, count):
    """Records of the orders `first` … `first + count`; without end if `count` is None."""
    chance = random.Random(f"{seed}/{first}")
    number = first
    while count is None or number < first + count:
        yield record(make(chance, number))
        number += 1


def changing(seed, count):
    """`count` records of about a third as many orders, whose status changes from record to record."""
    chance = random.Random(f"{seed}/changes")
    orders, steps = max(1, count // 3), {}
    for _ in range(count):
        number = int(chance.random() * orders)
        step = steps[number] = min(steps.get(number, -1) + 1, len(STATUSES) - 1)
        yield record(make(chance, number, STATUSES[step]))
