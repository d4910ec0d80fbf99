//! Properties of the plane as its users see it: through its public calls, against definitions that are written here anew.

mod audit;
mod batches;
mod bypass;
mod interfaces;
mod junk;
mod lifetimes;
mod oversize;
mod packets;
mod peers;
mod pipeline;
mod spd;
mod transforms;
mod waiting;
