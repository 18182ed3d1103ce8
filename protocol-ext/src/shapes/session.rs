//! Requests that open a connection.

use crate::shape::{Shape, bytes, string};

pub const SASL_HANDSHAKE: Shape =
    Shape::new(17, "SaslHandshake", 0, 1).fields(&[string("mechanism")]);

pub const API_VERSIONS: Shape = Shape::new(18, "ApiVersions", 0, 4)
    .flexible_from(3)
    .fields(&[
        string("client_software_name").since(3),
        string("client_software_version").since(3),
    ]);

pub const SASL_AUTHENTICATE: Shape = Shape::new(36, "SaslAuthenticate", 0, 2)
    .flexible_from(2)
    .fields(&[bytes("auth_bytes")]);
