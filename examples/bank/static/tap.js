// A `fetch` that keeps a copy of what goes over the wire, as a proxy that ends TLS could.

/** `fetch` to hand to a client, and `taken`, which answers what was on the wire since the last time. */
export function tap() {
  let exchanges = [];
  return {
    fetch: async (input, init) => {
      const request = new Request(input, init);
      const sent = bytes(request.clone());
      const response = await fetch(request);
      exchanges.push(exchange(request, sent, response.clone()));
      return response;
    },
    taken: () => {
      const all = Promise.all(exchanges);
      exchanges = [];
      return all;
    },
  };
}

async function exchange(request, sent, response) {
  return {
    method: request.method,
    url: request.url,
    request: { headers: [...request.headers], body: await sent },
    response: {
      status: response.status,
      statusText: response.statusText,
      headers: [...response.headers],
      // Of a stream that is cut, what has come.
      body: await bytes(response).catch(() => new Uint8Array()),
    },
  };
}

const bytes = async (message) => new Uint8Array(await message.arrayBuffer());
