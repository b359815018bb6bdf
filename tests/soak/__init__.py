"""The soak itself: does its proof find what it says it finds?"""
