// As much of IndexedDB as the client uses, over a Map: one store, and transactions that are over when nothing is asked.

/** Arrays come after texts, and are compared member by member. */
function compare(one, other) {
  if (!Array.isArray(one) || !Array.isArray(other)) return Array.isArray(one) - Array.isArray(other) || (one > other) - (one < other);
  for (let at = 0; at < Math.min(one.length, other.length); at++) {
    const order = compare(one[at], other[at]);
    if (order) return order;
  }
  return one.length - other.length;
}

export const IDBKeyRange = {
  lowerBound: (low) => (key) => compare(key, low) >= 0,
  bound: (low, high) => (key) => compare(key, low) >= 0 && compare(key, high) <= 0,
};

class Transaction {
  #asked = 0;

  constructor(rows) {
    this.rows = rows;
    this.#settle();
  }

  objectStore = () => this;
  get = (key) => this.#ask(() => this.rows.get(JSON.stringify(key)));
  put = (value, key) => this.#ask(() => void this.rows.set(JSON.stringify(key), value));
  delete = (range) => this.#ask(() => this.#keys(range).forEach((key) => this.rows.delete(JSON.stringify(key))));

  openCursor(range) {
    const keys = this.#keys(range);
    const request = this.#ask(() => next());
    const next = () => {
      if (!keys.length) return null;
      const name = JSON.stringify(keys.shift());
      const delete_ = () => this.rows.delete(name);
      return { value: this.rows.get(name), delete: delete_, continue: () => this.#ask(next, request) };
    };
    return request;
  }

  #keys = (range) => [...this.rows.keys()].map((name) => JSON.parse(name)).filter(range);

  #ask(work, request = {}) {
    this.#asked++;
    queueMicrotask(() => {
      request.result = work();
      request.onsuccess?.();
      this.#asked--;
      this.#settle();
    });
    return request;
  }

  #settle() {
    setImmediate(() => this.#asked || this.oncomplete?.());
  }
}

/** What `indexedDB` is; `rows` are what it keeps. */
export function makeIndexedDB(rows = new Map()) {
  const database = { transaction: () => new Transaction(rows), close() {} };
  const open = () => {
    const request = { result: database };
    queueMicrotask(() => request.onsuccess());
    return request;
  };
  return { rows, open };
}
