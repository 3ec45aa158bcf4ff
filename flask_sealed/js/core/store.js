// What stays across pages, in IndexedDB: the client's own key, by its audience; and sessions, by lists of names.
const DATABASE = "flask-sealed";
const STORE = "bindings";
const PATIENCE = 3000; // milliseconds

/** Has work done in one transaction. `work` is given the store, and answers the request that has the result. */
export function inStore(mode, work) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onerror = reject;
    // It may never answer, such as while another page that is open has to close the database first.
    setTimeout(reject, PATIENCE);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onsuccess = () => {
      const database = opening.result;
      try {
        const transaction = database.transaction(STORE, mode);
        const done = work(transaction.objectStore(STORE), transaction);
        transaction.oncomplete = () => resolve(done.result);
        transaction.onabort = reject;
      } catch (error) {
        reject(error);
      } finally {
        database.close(); // when the transaction is over
      }
    };
  });
}
