"""Private mathematics: functions of a game and a joint action, no classes."""
