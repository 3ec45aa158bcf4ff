"""The wire protocol: bytes and keys. No Flask, no sockets, no files, no clock of its own."""
