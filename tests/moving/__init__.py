"""Does everything arrive in another store, once, whatever stops the move?"""
