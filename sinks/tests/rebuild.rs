//! Read models that are built beside the live one, on a real nats-server and real databases.

// Its history is for the contract.
#[allow(dead_code)]
mod support;

#[path = "rebuild/copies.rs"]
mod copies;
#[path = "rebuild/definitions.rs"]
mod definitions;
#[path = "rebuild/flowing.rs"]
mod flowing;
#[path = "rebuild/locks.rs"]
mod locks;
#[path = "rebuild/memory.rs"]
mod memory;
#[path = "rebuild/obstacles.rs"]
mod obstacles;
#[path = "rebuild/orders.rs"]
mod orders;
#[path = "rebuild/place.rs"]
mod place;
#[path = "rebuild/readers.rs"]
mod readers;
#[path = "rebuild/rights.rs"]
mod rights;
#[path = "rebuild/schemas.rs"]
mod schemas;
#[path = "rebuild/shapes.rs"]
mod shapes;
