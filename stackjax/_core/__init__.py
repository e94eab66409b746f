"""How `play` is compiled: nothing in here knows a game or a learner, and users need none of it."""
