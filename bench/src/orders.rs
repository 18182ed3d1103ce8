//! The rows of the columnar runs: orders of 20 columns as JSON, some 500 bytes each.

use serde_json::{Value, json};

/// Name and type of each column.
pub const COLUMNS: [(&str, &str); 20] = [
    ("order_id", "long"),
    ("customer_id", "long"),
    ("placed_at", "timestamp(ms)"),
    ("status", "string"),
    ("amount", "double"),
    ("currency", "string"),
    ("items", "int"),
    ("weight_kg", "double"),
    ("email", "string"),
    ("city", "string"),
    ("country", "string"),
    ("street", "string"),
    ("postcode", "string"),
    ("channel", "string"),
    ("device", "string"),
    ("coupon", "string"),
    ("gift", "bool"),
    ("discount", "double"),
    ("tax", "double"),
    ("note", "string"),
];

/// Order `n`, the same each time.
pub fn order(n: u64) -> Value {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let pick = |names: &[&str], by: u64| names[(mixed >> by) as usize % names.len()].to_owned();
    let cents = mixed >> 40;
    json!({
        "order_id": n,
        "customer_id": (mixed >> 32) % 100_000,
        "placed_at": 1_767_225_600_000_u64 + n * 7,
        "status": pick(&["placed", "paid", "packed", "shipped", "delivered", "returned"], 8),
        "amount": cents as f64 / 100.0,
        "currency": pick(&["EUR", "USD", "GBP", "JPY"], 12),
        "items": 1 + mixed % 9,
        "weight_kg": (mixed % 40_000) as f64 / 1000.0,
        "email": format!("customer.{}@example.org", (mixed >> 32) % 100_000),
        "city": pick(&["Bremen", "Lyon", "Porto", "Gdańsk", "Turku", "Leeds"], 16),
        "country": pick(&["DE", "FR", "PT", "PL", "FI", "GB"], 16),
        "street": format!("{} Harbour Street", mixed % 400),
        "postcode": format!("{:05}", mixed % 99_999),
        "channel": pick(&["web", "app", "store", "phone"], 20),
        "device": pick(&["ios", "android", "firefox", "chrome", "safari"], 24),
        "coupon": if mixed.is_multiple_of(5) { Value::from(format!("TIDE{}", mixed % 97)) } else { Value::Null },
        "gift": mixed.is_multiple_of(11),
        "discount": (mixed % 30) as f64 / 100.0,
        "tax": cents as f64 / 500.0,
        "note": format!("leave it with neighbour {} if nobody is in", mixed % 1000),
    })
}
