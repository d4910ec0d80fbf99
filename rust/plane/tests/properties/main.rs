//! Properties of the plane as its users see it: through its public calls, against definitions that are written here anew.

mod batches;
mod junk;
mod oversize;
mod packets;
mod pipeline;
mod spd;
mod transforms;
