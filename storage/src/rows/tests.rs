//! Blocks, projections and files against Arrow's own reader; rotten bytes.

mod damage;
mod files;
mod fixtures;
mod projections;
mod sample;
