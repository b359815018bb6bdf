"""Does a store get its schema whatever happens, and does a release work with a store that a newer one made?"""
