//! The push side: every event in order, through a ring that can never slow the socket.
