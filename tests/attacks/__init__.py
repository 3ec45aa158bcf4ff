"""Attacks on a service, told as an attacker would act, over HTTP and against a real server.

One file is one attack. Its docstring names the property that it would break, where the attacker
stands, and what the answer is. Each attack has its control: the same one succeeds against the
*twin*, the same views in an application that does not seal, or with the one check taken away. So a
test that no longer attacks anything fails.
"""
