"""The test bench: a test client that seals and opens transparently."""

from .client import SealedClient as SealedClient
from .client import sealed_client as sealed_client
from .clock import TestClock as TestClock
from .wire import Exchange as Exchange
from .wire import Message as Message
