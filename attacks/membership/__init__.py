"""Membership inference: was this example in the training data?"""
