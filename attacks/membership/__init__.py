"""Membership: was this example in the training data?"""
