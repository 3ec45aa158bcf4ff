-- Amounts are cents, in whole numbers. The checks are the last line of defence, not the first.

CREATE TABLE customer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    full_name TEXT NOT NULL,
    password_hash TEXT NOT NULL
);

CREATE TABLE account (
    number TEXT PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customer (id),
    label TEXT NOT NULL,
    balance INTEGER NOT NULL CHECK (typeof(balance) = 'integer' AND balance >= 0)
);

CREATE TABLE card (
    customer INTEGER PRIMARY KEY REFERENCES customer (id),
    last4 TEXT NOT NULL,
    expiry_month INTEGER NOT NULL,
    expiry_year INTEGER NOT NULL
);

CREATE TABLE transfer (
    id INTEGER PRIMARY KEY,
    payer TEXT NOT NULL REFERENCES account (number),
    payee TEXT NOT NULL REFERENCES account (number),
    amount INTEGER NOT NULL CHECK (amount > 0),
    made_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE document (
    id INTEGER PRIMARY KEY,
    customer INTEGER NOT NULL REFERENCES customer (id),
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    content BLOB NOT NULL,
    received_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
