//! Rooms that need no socket, thread or clock: decoding, frames, the planner and the session.

mod attacks;
mod budget_patterns;
mod format_choice;
mod oracle;
mod plan_schedules;
mod session_simulation;
mod support;
mod wire_agree;
mod wire_allocation;
mod wire_convert;
mod wire_frames;
mod wire_messages;
mod ws_allocation;
mod ws_frames;
mod ws_handshake;

#[global_allocator]
static ALLOCATOR: hoga_testing::allocations::Counting = hoga_testing::allocations::Counting;
